"""What the owner of a model states about it: options of the command, or `modelyard.yaml` in its folder."""

from pathlib import Path
from typing import Any, Final, Self

import yaml
from pydantic import Field, ValidationError

from modelyard_contracts.manifest import Price
from modelyard_contracts.messages.base import Part
from modelyard_contracts.sentences import explain
from modelyard_contracts.signature import ColumnType, Task
from modelyard_own.errors import UnfitModel

DESCRIPTION_FILE: Final = "modelyard.yaml"
MAX_BYTES: Final = 1_000_000


class Description(Part):
    """Facts that override those inferred from the files and the sample; None and empty fields are inferred."""

    task: Task | None = None
    flavour: str | None = None
    sample: str | None = None
    """CSV or Parquet file with rows as the model takes them; in `modelyard.yaml`, relative to its folder."""
    target: str | None = None
    """Column of the sample with the true class or value; `none` if it has none."""
    answers: str | None = None
    """Column of the sample with the answers that the model gave to its rows."""
    classes: tuple[str, ...] = ()
    """In the order of the model's scores."""
    columns: dict[str, ColumnType] = Field(default_factory=dict)
    """Types of columns, where the sample does not show them."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options of the flavour."""
    owner: str = ""
    description: str = ""
    semver: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    license: str = ""
    base: str | None = None
    """Registered version that a PEFT adapter was trained on: MODEL, MODEL@ALIAS or MODEL@VERSION."""
    base_model: str = ""
    training_data: str = ""
    uri: str = ""
    revision: str = ""
    price: Price | None = None

    def over(self, other: Self) -> Self:
        """Return the facts of both; those that are set here win."""
        return other.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


def described_in(folder: Path) -> Description:
    """Read `modelyard.yaml` of a folder; nothing is stated without one. UnfitModel names the line and the field."""
    path = folder / DESCRIPTION_FILE
    if not path.is_file():
        return Description()
    text = _text(path)
    root = _parsed(path, text)
    if not root:
        return Description()
    if not isinstance(root, dict):
        raise UnfitModel(f"{path}, line 1: must be fields such as `task: binary`, one per line")
    try:
        found = Description.model_validate(root)
    except ValidationError as error:
        place = error.errors()[0]["loc"]
        explained = explain(error)
        raise UnfitModel(f"{path}, line {_line(text, place)}: {explained.field}: {explained.problem}") from error
    return found if found.sample is None else found.model_copy(update={"sample": str(folder / found.sample)})


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise UnfitModel(f"{path}: has more than {MAX_BYTES:,} bytes; it states facts about a model, no data")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeError as error:
        raise UnfitModel(f"{path}: is not in UTF-8; save it in UTF-8") from error


def _parsed(path: Path, text: str) -> Any:
    """Every scalar is a text: YAML 1.1 would read the class `no` as False, and the version 1.10 as 1.1."""
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  builds texts, lists and mappings only
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UnfitModel(f"{path}{line}: {getattr(error, 'problem', None) or error}") from error


def _line(text: str, place: tuple[int | str, ...]) -> int:
    """Line of the innermost known part of a field's path, from 1."""
    node, line = yaml.compose(text, Loader=yaml.BaseLoader), 1
    for part in place:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if key.value == part), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
