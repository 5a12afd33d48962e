"""Dataclasses as JSON documents."""

from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


class Documents(Generic[T]):
    """Reads and writes one dataclass as JSON; unknown fields, from a newer release, are ignored."""

    def __init__(self, type_: type[T]) -> None:
        self._adapter = TypeAdapter(type_)

    def read(self, document: Any) -> T:
        return self._adapter.validate_python(document, extra="ignore")

    def write(self, value: T) -> Any:
        return self._adapter.dump_python(value, mode="json")
