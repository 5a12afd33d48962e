"""A synchronisation with another registry: what can be taken over, how far a run is, and messages for people."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from modelyard_console.domain.own_models import problem_words
from modelyard_own.sync import Difference, Outcome, State, What

TAKE: Final = "take:"
"""Before the key of a version in the name of its field."""
MAX_TEXT_CHARACTERS: Final = 500
"""Of a message or value that may hold words of the other registry."""
MEANINGS: Final = {
    State.MISSING_HERE: "only there",
    State.ONLY_HERE: "only here",
    State.CHANGED_THERE: "changed there",
    State.CHANGED_HERE: "a person changed it here",
    State.CONFLICT: "both sides changed it",
    State.NOT_TAKEN: "not taken over",
}
"""States in the words of the page."""
SETTINGS: Final = {
    "--from": "the address in the settings of the console",
    "--files-root": "CONSOLE_SYNC_FILES_ROOT",
}
"""Options of the command line in messages, to the settings of the console."""


class RunState(StrEnum):
    """State of a run."""

    RUNNING = "running"
    STOPPED = "stopped"
    """By a person or a restart; it can be continued."""
    FAILED = "failed"
    """It can be continued."""
    COMPLETE = "complete"


class Taken(BaseModel):
    """What became of one difference."""

    model_config = ConfigDict(frozen=True)

    version: str
    what: str
    name: str
    done: bool
    text: str

    @classmethod
    def of(cls, outcome: Outcome) -> "Taken":
        found = outcome.difference
        return cls(
            version=found.version,
            what=str(found.what),
            name=found.name,
            done=outcome.done,
            text=sync_words(outcome.text),
        )


class SyncProgress(BaseModel):
    """How far a run is. text: the last progress, or why it ended."""

    model_config = ConfigDict(frozen=True)

    state: RunState = RunState.RUNNING
    text: str = ""
    taken: tuple[Taken, ...] = ()

    @property
    def failed(self) -> int:
        """Differences that could not be taken over."""
        return sum(not one.done for one in self.taken)


@dataclass(frozen=True)
class Choice:
    """Something that a person may choose to take over. key: of the version there; empty for aliases gone there."""

    key: str
    missing: bool
    changes: int

    @property
    def field(self) -> str:
        return f"{TAKE}{self.key}"

    @property
    def label(self) -> str:
        return f"version {self.key}" if self.key else "aliases that are gone there"

    @property
    def text(self) -> str:
        if self.missing:
            return "register it, with its tags, description and aliases"
        return f"take over {self.changes} change{'' if self.changes == 1 else 's'}"


def choices(found: Iterable[Difference]) -> list[Choice]:
    """What can be taken over, by version, in the order of the differences."""
    missing: dict[str, bool] = {}
    changes: dict[str, int] = {}
    for one in found:
        if one.state is State.MISSING_HERE and one.what is What.VERSION:
            missing[one.version] = True
        elif one.state is State.CHANGED_THERE:
            changes[one.version] = changes.get(one.version, 0) + 1
    return [Choice(key, key in missing, changes.get(key, 0)) for key in dict.fromkeys((*missing, *changes))]


def chosen(values: Mapping[str, str]) -> tuple[str, ...]:
    """Keys of the chosen versions."""
    return tuple(name.removeprefix(TAKE) for name, value in values.items() if name.startswith(TAKE) and value)


def sync_words(text: str) -> str:
    """A message in the words of the page, of bounded length."""
    for option, setting in SETTINGS.items():
        text = text.replace(option, setting)
    return problem_words(text[:MAX_TEXT_CHARACTERS]).strip(" .") + "."


def shown_value(text: str | None) -> str:
    """A value of one side."""
    return "–" if text is None else text[:MAX_TEXT_CHARACTERS]
