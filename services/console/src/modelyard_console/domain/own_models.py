"""What a person stated about an uploaded model: fields of the form as facts, and messages in the words of the form."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from modelyard_console.domain.uploads import KIND, field_of, in_words
from modelyard_contracts.sentences import explain
from modelyard_contracts.signature import Task
from modelyard_own import Description
from modelyard_own.work import Task as Reading

TASKS: Final = (Task.BINARY, Task.MULTICLASS, Task.REGRESSION, Task.TEXT, Task.EMBEDDING)
TEXTS: Final = (
    "task",
    "flavour",
    "target",
    "answers",
    "license",
    "owner",
    "description",
    "semver",
    "base",
    "base_model",
    "training_data",
)
"""Fields that are facts as they are."""
PAIRS: Final = {"options": "Options of the flavour", "tags": "Tags"}
"""Fields with NAME=VALUE in each line, and their labels."""
DIALECT: Final = {"separator": ",", "decimal": ".", "encoding": "utf-8"}
FIELDS: Final = (*TEXTS, *PAIRS, *DIALECT, "classes", "allow_code", "code_reason")
"""Fields that are kept with the upload, besides the kinds of columns."""
LABELS: Final = {
    "sample": "Sample",
    "target": "True class or value",
    "answers": "Recorded answers",
    "classes": "Classes",
    "column": "Type of the column",
    "task": "Task",
    "flavour": "Flavour",
    "base": "Base",
    "option": "Options of the flavour",
    "separator": "Separator",
    "decimal": "Decimal sign",
    "encoding": "Encoding",
    "allow-code": "Allow its code",
    "reason": "Reason for its code",
}
"""Options of the command line in messages, to the labels of their fields."""
NAMED: Final = {"option": "options", "allow-code": "allow_code", "reason": "code_reason", "column": ""}
"""Options whose field has another name."""


class WrongFields(Exception):
    """Fields that cannot be used, with a sentence each."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(str(errors))
        self.errors = errors


def kept(values: Mapping[str, str]) -> dict[str, str]:
    """The fields that are kept with an upload, without empty ones."""
    names = [name for name in values if name in FIELDS or name.startswith(KIND)]
    return {name: values[name].strip() for name in names if values[name].strip()}


def description_of(values: Mapping[str, str]) -> Description:
    """The stated facts; WrongFields names those that cannot be used."""
    given: dict[str, Any] = {name: values[name] for name in TEXTS if values.get(name)}
    given |= {name: _pairs(name, values[name]) for name in PAIRS if values.get(name)}
    if values.get("classes"):
        given["classes"] = tuple(part.strip() for part in values["classes"].split(",") if part.strip())
    if columns := {name.removeprefix(KIND): value for name, value in values.items() if name.startswith(KIND) and value}:
        given["columns"] = columns
    try:
        return Description.model_validate(given)
    except ValidationError as error:
        found = explain(error)
        raise WrongFields({found.field.partition(".")[0]: found.sentence}) from error


def _pairs(name: str, text: str) -> dict[str, str]:
    parts = [line.strip().partition("=") for line in text.splitlines() if line.strip()]
    if wrong := [key for key, found, _ in parts if not found or not key]:
        raise WrongFields({name: f"{PAIRS[name]}: {wrong[0]!r} is no NAME=VALUE; write one per line"})
    return {key.strip(): value.strip() for key, _, value in parts}


def reading_of(values: Mapping[str, str], **task: Any) -> Reading:
    """The request to read a model with the stated facts. WrongFields as of `description_of`."""
    dialect = {name: values.get(name) or default for name, default in DIALECT.items()}
    code, reason = bool(values.get("allow_code")), values.get("code_reason", "")
    return Reading(stated=description_of(values), code=code, reason=reason, **dialect, **task)


def problem_field(text: str) -> str:
    """The field that a message is about; empty if it is about the files."""
    return field_of(text, labels=LABELS, fields=NAMED)


def problem_words(text: str) -> str:
    """A message that names options of the command line, with the labels of the form."""
    return in_words(text.replace("--sample FILE.csv", "--sample"), LABELS)
