"""Names of resources: `(workspace, kind, name)` in the registry, a reference everywhere else.

Outside of the registry a model is named by its reference: `churn` in the workspace `default`, `acme:churn` in another
one. Services treat it as one opaque name, so equal names in two workspaces never collide.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

DEFAULT_WORKSPACE: Final = "default"
NAME_PATTERN: Final = r"[a-z0-9][a-z0-9._-]{0,127}"
WORKSPACE_PATTERN: Final = r"[a-z0-9][a-z0-9-]{0,62}"
REFERENCE_PATTERN: Final = rf"^(?:{WORKSPACE_PATTERN}:)?{NAME_PATTERN}$"
VERSION_PATTERN: Final = rf"^(?:{WORKSPACE_PATTERN}:)?{NAME_PATTERN}@[1-9][0-9]{{0,8}}$"
"""`MODEL@VERSION`, such as `acme:churn@3`."""
_REFERENCE: Final = re.compile(rf"(?:({WORKSPACE_PATTERN}):)?({NAME_PATTERN})")


class Kind(StrEnum):
    """Kinds of resources that the registry keeps."""

    MODEL = "model"
    DATASET = "dataset"
    PROMPT = "prompt"


class InvalidReference(ValueError):
    """Not a reference such as `churn` or `acme:churn`."""

    code = "invalid_reference"
    retryable = False

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:80]!r} is not a name: use NAME or WORKSPACE:NAME with lower-case letters, digits, '.', '_' and '-'"
        )


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A workspace and a name in it."""

    workspace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name` or `workspace:name`; InvalidReference otherwise."""
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise InvalidReference(text)
        return cls(found[1] or DEFAULT_WORKSPACE, found[2])

    def __str__(self) -> str:
        return self.name if self.workspace == DEFAULT_WORKSPACE else f"{self.workspace}:{self.name}"

    @property
    def slug(self) -> str:
        """The reference where `:` is not allowed, such as in file names."""
        return str(self).replace(":", "~")


def workspace_of(reference: str) -> str:
    """The workspace of a reference; cheap, for references that were validated before."""
    workspace, found, _ = reference.rpartition(":")
    return workspace if found else DEFAULT_WORKSPACE


def read_version(text: str) -> tuple[str, int]:
    """Model and version of `MODEL@VERSION`; for texts that match VERSION_PATTERN."""
    model, _, version = text.rpartition("@")
    return model, int(version)
