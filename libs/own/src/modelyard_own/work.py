"""The request to the process that reads an uploaded model, and its response; see `__main__`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from pydantic import Field

from modelyard_admission import AdmissionError, recognise
from modelyard_contracts.messages.base import Part
from modelyard_contracts.tables.table import Dialect, UnfitFile, read_table
from modelyard_own.base import Base
from modelyard_own.description import Description
from modelyard_own.errors import UnfitModel
from modelyard_own.files import ModelFile
from modelyard_own.labelled import LabelledFile, LabelledTable
from modelyard_own.manifest import Plan
from modelyard_own.origin import Origin
from modelyard_own.planning import Request, plan_of
from modelyard_own.tarballs import SUFFIXES, unpacked_tar
from modelyard_own.unpacking import unpacked

FILES: Final = "files"
"""Folder of an upload that holds the model as it was sent: one file or one folder."""
SAMPLE: Final = "sample"
"""Folder of an upload that holds the sample."""
OUT: Final = "out"
"""Folder of an upload that this process may write to."""
TABLE: Final = "labelled.parquet"
FIRST_ROWS: Final = 5


class Task(Part):
    """Read the model in `folder`. Messages name its files as they were sent.

    memory_bytes, seconds: of the process. max_bytes: of all members of an archive.
    """

    folder: str
    name: str
    """File or folder below FILES."""
    sample: str | None = None
    """File below SAMPLE."""
    stated: Description = Field(default_factory=Description)
    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    code: bool = False
    reason: str = ""
    base: Base | None = None
    """Version that `stated.base` names; this process has no network to look it up."""
    origin: Origin | None = None
    """Of files that were downloaded from a hub."""
    memory_bytes: int
    seconds: int
    max_bytes: int


class Answer(Part):
    """The plan of a registration, or the problem. Paths are relative to the folder of the task."""

    model: str = ""
    """The model's file or folder, where it lies after an archive was unpacked."""
    plan: Plan | None = None
    labelled: LabelledFile | None = None
    header: tuple[str, ...] = ()
    """Columns of the sample."""
    problem: str = ""

    @classmethod
    def failed(cls, text: str) -> Self:
        return cls(problem=text)

    def ready(self, folder: Path) -> Plan | None:
        """The plan with absolute paths; UnfitModel if a path leads out of the folder."""
        if self.plan is None:
            return None
        files = tuple(ModelFile(file.path, _inside(folder, file.source)) for file in self.plan.files)
        rows = self.labelled
        if rows is not None:
            rows = rows.model_copy(update={"path": _inside(folder, rows.path)})
        return self.plan.model_copy(update={"files": files, "labelled": rows})


def _inside(folder: Path, path: Path) -> Path:
    found = (folder / path).resolve()
    if not found.is_relative_to(folder.resolve()):
        raise UnfitModel(f"{path.name}: is outside of the uploaded files; upload the model again")
    return found


def answer(task: Task) -> Answer:
    """Read the model and its sample; a model that cannot be used is an answer with a problem.

    The working folder is that of the task.
    """
    header: tuple[str, ...] = ()
    model = Path(FILES) / task.name
    try:
        model = _model(model, task.max_bytes)
        dialect = Dialect.of(task.separator, task.decimal, task.encoding)
        header = tuple(_header(task, dialect))
        plan = plan_of(_request(task, model, dialect))
        return Answer(model=str(model), plan=plan, labelled=_labelled(plan), header=header)
    except UnfitFile as error:
        return Answer(model=str(model), header=header, problem=_named(str(error)))
    except MemoryError:
        return Answer(model=str(model), problem="the model or its sample needs more memory than one upload may take")


def _request(task: Task, model: Path, dialect: Dialect) -> Request:
    stated = _stated(task)
    return Request(model, stated, dialect, code=task.code, reason=task.reason, origin=task.origin, base=task.base)


def _model(sent: Path, max_bytes: int) -> Path:
    """The model; that of an archive is unpacked once."""
    if sent.name.endswith(SUFFIXES) and sent.is_file():
        return unpacked_tar(sent, Path(OUT) / "model", max_bytes)
    if not sent.is_file() or not _is_archive(sent):
        return sent
    return unpacked(sent, Path(OUT) / "model", max_bytes)


def _is_archive(path: Path) -> bool:
    try:
        return recognise(path).format == "zip"
    except AdmissionError:
        return False


def _stated(task: Task) -> Description:
    if task.sample is None:
        return task.stated
    return task.stated.model_copy(update={"sample": str(Path(SAMPLE) / task.sample)})


def _header(task: Task, dialect: Dialect) -> Iterator[str]:
    if task.sample is not None:
        yield from read_table(Path(SAMPLE) / task.sample, dialect, min_columns=1).header


def _labelled(plan: Plan) -> LabelledFile | None:
    if not isinstance(plan.labelled, LabelledTable):
        return None
    return plan.labelled.write(Path(OUT) / TABLE)


def _named(text: str) -> str:
    """A message with the names of files as they were sent."""
    for folder in (f"{OUT}/model/", f"{FILES}/", f"{SAMPLE}/"):
        text = text.replace(folder, "")
    return text
