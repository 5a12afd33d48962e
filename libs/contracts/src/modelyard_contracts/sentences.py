"""Errors of pydantic as sentences: the field, the problem and the remedy, without a validator's words."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from modelyard_contracts.references import NAME_PATTERN, REFERENCE_PATTERN, WORKSPACE_PATTERN

SHOWN_CHARACTERS: Final = 80
TEXT_CHARACTERS: Final = 300
MAX_WORD_CHARACTERS: Final = 160
MAX_LINE_CHARACTERS: Final = 600
MAX_NAME_CHARACTERS: Final = 1_000
FORMS: Final[dict[str, str]] = {
    REFERENCE_PATTERN: (
        "a name such as `churn` or `team:churn`: lower-case letters, digits, '.', '_' and '-', at most 128 characters"
    ),
    f"^{NAME_PATTERN}$": "a name of lower-case letters, digits, '.', '_' and '-', at most 128 characters",
    f"^{WORKSPACE_PATTERN}$": "a workspace: lower-case letters, digits and '-', at most 63 characters",
    r"^(\*|[a-z0-9][a-z0-9-]{0,62})$": "a workspace, or * for all of them",
    r"^sha256:[0-9a-f]{64}$": "sha256: and 64 hexadecimal digits",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$": "letters, digits, '.', '_' and '-', at most 128 characters",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": "letters, digits, '.', '_' and '-', at most 64 characters",
    r"^[A-Za-z_][A-Za-z0-9_]{0,63}$": "a letter or '_', then letters, digits and '_', at most 64 characters",
    r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$": "a relative path of letters, digits, '_', '.', '-' and '/'",
    r"^(workspace|text_length|entity|session|header:.{1,256}|feature:.{1,256})$": (
        "workspace, text_length, entity, session, header:NAME or feature:NAME"
    ),
    r"^[!-~]{1,200}$": "1 to 200 printable ASCII characters without spaces",
    r"^https?://": "a URL that begins with http:// or https://",
    r"^(DEBUG|INFO|WARNING|ERROR)$": "DEBUG, INFO, WARNING or ERROR",
    "^parquet$": "parquet",
    r"^[a-z0-9][a-z0-9-]{0,31}$": "a short name of lower-case letters, digits and '-', at most 32 characters",
    r"^[A-Za-z0-9_-]{43}$": "a public key: 43 characters of base64url",
    r"^[a-z]+(\.[a-z]+(-[a-z]+)*)+\.v[1-9][0-9]*$": "a topic's name such as training.run.finished.v1",
    r"^[a-z0-9][a-z0-9._/:-]{0,400}@sha256:[0-9a-f]{64}$": "an image with its digest: registry/name@sha256:...",
    r"^https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?$": "an address that begins with https://, without query",
    r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$": "letters, digits, '.', '_', ':', '/', '@' and '-'",
    r"^[A-Z][A-Z0-9_]{0,127}$": "the name of an environment variable: upper-case letters, digits and '_'",
}
"""Words for each pattern in the project; a service adds its own with `describe_form`."""

_SIZES: Final = {
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "bytes_too_short": "at least {min_length} bytes",
    "bytes_too_long": "at most {max_length} bytes",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
}
_BOUNDS: Final = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "multiple_of": "a multiple of {multiple_of}",
}
_KINDS: Final = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "decimal": "a number",
    "bool": "true or false",
    "datetime": "a time such as 2026-01-31T12:00:00Z",
    "timezone": "a time with its offset, such as 2026-01-31T12:00:00Z",
    "date": "a date such as 2026-01-31",
    "time": "a time such as 12:00:00",
    "uuid": "a UUID such as 123e4567-e89b-12d3-a456-426614174000",
    "url": "a URL such as https://host/path",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen": "a list",
    "iterable": "a list",
    "model": "an object",
    "dict": "an object",
    "mapping": "an object",
    "dataclass": "an object",
    "none": "null, or left out",
    "bytes": "a text",
}
"""By the first word of an error's type."""
_UNICODE: Final = "string_unicode"
_OWN: Final = ("value_error", "assertion_error")
_VALIDATOR: Final = re.compile(r"[\[(]")
"""In a location: the name of a validator, not of a field."""


class Explained(NamedTuple):
    """field: dotted path of the input at fault, shortened; empty for the whole input."""

    field: str
    problem: str

    @property
    def sentence(self) -> str:
        return f"{self.field}: {self.problem}" if self.field else self.problem


def describe_form(pattern: str, words: str) -> str:
    """Register words for a pattern, used in errors; returns the pattern, for a field's definition."""
    FORMS[pattern] = words
    return pattern


def explain(errors: ValidationError | Sequence[Mapping[str, Any]], under: str = "") -> Explained:
    """The first error as a sentence, with the number of others. under: name of the input the locations are within."""
    items = errors.errors() if isinstance(errors, ValidationError) else errors
    first = items[0]
    where = [part for part in (under, *map(str, first["loc"])) if part and not _VALIDATOR.search(part[:200])]
    more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
    return Explained(plain(".".join(plain(part) for part in where)), problem_of(first) + more)


def problem_of(item: Mapping[str, Any]) -> str:
    """The problem of one error, without its field."""
    kind, context = str(item["type"]), item.get("ctx") or {}
    if kind in _OWN:
        return plain(str(item["msg"]).partition(", ")[2], TEXT_CHARACTERS)
    if kind == "missing":
        return "is missing; send it"
    if kind == "extra_forbidden":
        return "is not a known field; remove it"
    if kind == _UNICODE:
        return "holds half a character (a lone surrogate); send valid Unicode"
    if kind == "json_invalid":
        return "is not JSON"
    if kind == "union_tag_invalid":
        tag = plain(str(context.get("tag", "")))
        return f"{_discriminator(context)} {tag!r} is not known; known are {_or(_tags(context))}"
    return f"must be {_wanted(kind, context)}"


def _wanted(kind: str, context: Mapping[str, Any]) -> str:
    """A noun phrase for the value that is expected."""
    if kind in _SIZES:
        return f"a value of {_SIZES[kind].format(**context)}"
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**{name: _number(value) for name, value in context.items()})
    if kind == "string_pattern_mismatch":
        return FORMS.get(str(context.get("pattern")), "of another form; see the documentation of this field")
    if kind in ("literal_error", "enum"):
        return f"one of {_or(str(context.get('expected', '')))}"
    if kind.startswith("union_tag"):
        return f"an object with {_discriminator(context)}, one of {_or(_tags(context))}"
    return _KINDS.get(kind.partition("_")[0], "of another type; see the documentation of this field")


def _discriminator(context: Mapping[str, Any]) -> str:
    return str(context.get("discriminator", "kind")).strip("'")


def _number(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _tags(context: Mapping[str, Any]) -> str:
    return str(context.get("expected_tags") or "those documented")


def _or(expected: str) -> str:
    return expected.replace("'", "").replace(" or ", ", ")


def plain(text: str, characters: int = SHOWN_CHARACTERS) -> str:
    """A text of a caller as errors show it: shortened, without control characters or halves of characters."""
    cut = visible_text(text[: characters + 1])
    return cut if len(cut) <= characters else f"{cut[: characters - 3]}..."


def visible_text(text: str) -> str:
    """The text with every character that would not be visible, such as a terminal escape, replaced."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def exact(name: str) -> str:
    """A name as a program reads it: every character that is valid Unicode; bounded."""
    return name[:MAX_NAME_CHARACTERS].encode("utf-8", "replace").decode()


def one_line(text: str) -> str:
    """One line of valid Unicode without control characters or very long words: an error may quote its input."""
    words = text.encode("utf-8", "replace").decode().split()
    line = " ".join(word if len(word) <= MAX_WORD_CHARACTERS else plain(word) for word in map(visible_text, words))
    return plain(line, MAX_LINE_CHARACTERS)
