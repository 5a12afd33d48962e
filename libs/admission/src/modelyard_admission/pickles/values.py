"""Values as the walker sees them: what a pickle would build, without building it.

Strings, integers, None and booleans stand for themselves, a tuple for a tuple; everything else is one of these.
"""

from dataclasses import dataclass, field
from typing import Final

Value = object


class _Opaque:
    def __repr__(self) -> str:
        return "OPAQUE"


OPAQUE: Final = _Opaque()
"""A value that holds no code and whose content no rule needs, such as a float."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global that the pickle imports."""

    module: str
    name: str

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Items:
    """A list, set or frozenset."""

    values: list[Value] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Table:
    """A dictionary; only entries whose key is a string or an integer are remembered."""

    entries: dict[str | int, Value] = field(default_factory=dict)

    def put(self, key: Value, value: Value) -> None:
        if isinstance(key, str | int):
            self.entries[key] = value


@dataclass(eq=False, slots=True)
class Made:
    """The result of calling `callee`, which is a Name unless the pickle is hostile."""

    callee: Value
    arguments: Value
    state: Value = None
    table: Table = field(default_factory=Table)
    """Entries that were set on it, as on an OrderedDict."""
    items: list[Value] = field(default_factory=list)

    def is_of(self, full: str) -> bool:
        return isinstance(self.callee, Name) and self.callee.full == full


@dataclass(frozen=True, slots=True)
class Persistent:
    """An object outside of the pickle, such as a storage of torch."""

    id: Value
