"""The import of a model from a hub: what its repository has, how far the download is, and messages for people."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from modelyard_console.domain.uploads import field_of, in_words
from modelyard_own.hubs import Choice, HubName, Snapshot

LABELS: Final = {"revision": "Revision", "include": "Also take", "exclude": "Leave out"}
"""Options of the command line in messages, to the labels of their fields."""
MAX_PATTERNS: Final = 20
MAX_PATTERN_CHARACTERS: Final = 200
MAX_TEXT_CHARACTERS: Final = 500
"""Of a message that may hold words of the hub."""
FIELDS: Final = ("hub", "repo", "revision", "include", "exclude", "task", "base")
"""Fields of the form, besides model and sample."""


class DownloadState(StrEnum):
    """State of a download."""

    LISTED = "listed"
    """Nothing was downloaded yet."""
    RUNNING = "running"
    STOPPED = "stopped"
    """By a person or a restart; it can be continued."""
    FAILED = "failed"
    """It can be continued."""
    COMPLETE = "complete"


class Download(BaseModel):
    """How far a download is. text: the last progress, or why it ended. have_bytes: of all files, that have arrived."""

    model_config = ConfigDict(frozen=True)

    state: DownloadState = DownloadState.LISTED
    text: str = ""
    have_bytes: int = 0


class Listing(BaseModel):
    """A repository at one commit, and which of its files are taken. files: how many the repository has."""

    model_config = ConfigDict(frozen=True)

    hub: HubName
    snapshot: Snapshot
    choice: Choice
    files: int
    asked: dict[str, str]
    """Fields of the form, to change them."""


def patterns(text: str) -> tuple[str, ...]:
    """The patterns of a field, separated by blanks or commas; ValueError if they are too many or too long."""
    found = tuple(text.replace(",", " ").split())
    if len(found) > MAX_PATTERNS or any(len(one) > MAX_PATTERN_CHARACTERS for one in found):
        raise ValueError(f"write at most {MAX_PATTERNS} patterns of {MAX_PATTERN_CHARACTERS} characters")
    return found


def asked(values: Mapping[str, str]) -> dict[str, str]:
    """The fields of the form that were filled."""
    return {name: values[name].strip() for name in FIELDS if values.get(name, "").strip()}


def problem_field(text: str) -> str:
    """The field that a message is about."""
    return field_of(text, labels=LABELS, fields={}) or "repo"


def problem_words(text: str, token_variable: str = "") -> str:
    """A message in the words of the form, of bounded length.

    token_variable: where the hub's token stands; a message that names it says whose it is.
    """
    found = in_words(text[:MAX_TEXT_CHARACTERS], LABELS).strip(" .") + "."
    if token_variable and token_variable in found:
        found += f" {token_variable} is a setting of the console: ask the person who runs it."
    return found
