"""Reading and scanning an uploaded model, each in a confined process: nothing of the model is loaded here."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from modelyard_admission import Limits, scan_isolated
from modelyard_console.clients.programs import Program, TookTooLong
from modelyard_console.domain.own_models import reading_of
from modelyard_contracts.admission import ScanReport
from modelyard_own import Base, Origin
from modelyard_own.work import Answer, Task


class ModelReader:
    """Starts `python -m modelyard_own` for each reading. max_bytes: of an unpacked archive."""

    def __init__(self, max_bytes: int, memory_bytes: int, timeout_s: float) -> None:
        self._max_bytes, self._memory_bytes, self._timeout_s = max_bytes, memory_bytes, timeout_s
        self._program = Program("modelyard_own", timeout_s)

    def read(
        self,
        folder: Path,
        name: str,
        sample: str | None,
        values: Mapping[str, str],
        base: Base | None = None,
        origin: Origin | None = None,
    ) -> Answer:
        """Read a model; one that cannot be used is an answer with a problem. WrongFields for facts that cannot be used.

        base: the version that an adapter was trained on. origin: of files of a hub. Unavailable while others are read.
        """
        task = reading_of(
            values,
            folder=str(folder.resolve()),
            name=name,
            sample=sample,
            base=base,
            origin=origin,
            memory_bytes=self._memory_bytes,
            seconds=int(self._timeout_s) + 1,
            max_bytes=self._max_bytes,
        )
        with self._program.turn():
            return self._run(task)

    def scan(self, path: Path) -> ScanReport:
        """Scan the files of a model. Unavailable while others are read."""
        with self._program.turn():
            return scan_isolated(path, Limits(seconds=self._timeout_s))

    def _run(self, task: Task) -> Answer:
        try:
            return Answer.model_validate_json(self._program.run(task.model_dump_json(exclude_unset=True)))
        except TookTooLong:
            return Answer.failed(f"{task.name} cannot be read within {self._timeout_s:g} s; use `modelyard register`")
        except ValidationError:
            return Answer.failed(
                f"{task.name} cannot be read within the time and memory for one upload; use `modelyard register`"
            )
