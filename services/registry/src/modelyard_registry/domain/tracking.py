"""Experiments, runs and logged models: what they hold, and what may change."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from modelyard_runtime.errors import Invalid

DEFAULT_EXPERIMENT: Final = "Default"
"""Experiment of runs that name none; its id is DEFAULT_ID in every workspace."""
DEFAULT_ID: Final = "0"
TRAINER: Final = "trainer"
"""Creator of runs that mirror training runs of the platform."""
MAX_KEY: Final = 250
MAX_VALUE: Final = 8_000
MAX_PATH: Final = 500
MAX_MS: Final = 2**63 - 1
_KEY: Final = re.compile(r"[/\w.\- :]+")


class Lifecycle(StrEnum):
    """Deleted things keep their rows and can be restored."""

    ACTIVE = "active"
    DELETED = "deleted"


class RunStatus(StrEnum):
    """A finished run may be continued, which sets it to running again."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def final(self) -> bool:
        return self in (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED)


class TextKind(StrEnum):
    """Texts of a run: a parameter never changes, a tag may."""

    PARAM = "param"
    TAG = "tag"


@dataclass(frozen=True)
class Experiment:
    """A named set of runs in one workspace."""

    id: int
    workspace: str
    name: str
    lifecycle: Lifecycle
    tags: Mapping[str, str]
    created_at: datetime
    updated_at: datetime
    created_by: str


@dataclass(frozen=True)
class Run:
    """One execution whose parameters, metrics and artifacts are recorded."""

    id: str
    """32 hexadecimal digits."""
    experiment_id: int
    name: str
    user_id: str
    """As the client states it; `created_by` is the identity of the key."""
    status: RunStatus
    lifecycle: Lifecycle
    start_ms: int
    end_ms: int | None
    created_by: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """`dataset_inputs` and `model_inputs`, as the client sent them."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """`model_outputs`, as the client sent them."""
    model: str | None = None
    """Model of a training run of the platform; None for all others."""
    revision: int | None = None
    """Of the last event of a training run; older ones change nothing."""
    version: int | None = None
    """Version that the training run registered."""


@dataclass(frozen=True)
class Point:
    """One value of a metric. number may be NaN or infinite."""

    key: str
    number: float
    step: int
    timestamp_ms: int
    model_id: str | None = None
    """Logged model that the value is about."""
    dataset_name: str | None = None
    dataset_digest: str | None = None

    @property
    def order(self) -> tuple[int, int, float]:
        """The greatest is the latest value of its metric."""
        return (self.step, self.timestamp_ms, -math.inf if math.isnan(self.number) else self.number)


@dataclass(frozen=True)
class RunData:
    """Contents of a run; metrics: the latest point of each."""

    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Point] = field(default_factory=dict)


@dataclass(frozen=True)
class LoggedModel:
    """A model that a run made, before or without registration."""

    id: str
    """`m-` and 32 hexadecimal digits."""
    experiment_id: int
    source_run_id: str | None
    name: str
    model_type: str
    status: str
    lifecycle: Lifecycle
    tags: Mapping[str, str]
    params: Mapping[str, str]
    created_at: datetime
    updated_at: datetime
    created_by: str


@dataclass(frozen=True)
class Artifact:
    """A file of a run or of a logged model."""

    path: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Found:
    """One page of runs and the cursor of the next one."""

    runs: Sequence[Run]
    next_token: str | None


def check_key(key: object, field: str) -> str:
    """Return a name of a parameter, metric or tag; Invalid otherwise."""
    if not isinstance(key, str) or not _KEY.fullmatch(key) or len(key) > MAX_KEY:
        raise Invalid(
            f"{field}: {str(key)[:80]!r} is no name; use letters, digits, '_', '-', '.', ' ', ':' and '/', at most "
            f"{MAX_KEY} of them",
            field=field,
        )
    return key


def check_value(value: object, field: str) -> str:
    """Return a text of a parameter or tag; Invalid when it is too long or holds NUL."""
    if not isinstance(value, str):
        raise Invalid(f"{field}: is missing or no text", field=field)
    if len(value) > MAX_VALUE or "\0" in value or _unstorable(value):
        raise Invalid(f"{field}: use at most {MAX_VALUE} characters, without NUL and half characters", field=field)
    return value


def check_path(path: str, field: str = "path") -> str:
    """Return the path of an artifact; Invalid unless it stays inside of its run."""
    parts = path.split("/")
    wrong = len(path) > MAX_PATH or "\\" in path or "\0" in path or _unstorable(path)
    if wrong or any(part in ("", ".", "..") for part in parts):
        raise Invalid(
            f"{field}: {path[:80]!r} is no path of an artifact; use names separated by '/', without '..'", field=field
        )
    return path


def _unstorable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
