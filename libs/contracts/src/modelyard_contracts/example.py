"""Example requests of a version, with the answers that its author recorded: replayed before it may serve."""

from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from modelyard_contracts.documents import Document
from modelyard_contracts.messages.base import Part

EXAMPLE_FILE: Final = "modelyard-example.json"
"""Name of the file that the command line adds to a version."""
MAX_ROWS: Final = 1_000
Cell = str | float | int | bool | None


class ExampleAnswer(Part):
    """The recorded answer to one row: a class or a value, with scores in the order of the classes where known."""

    label: str | None = None
    value: float | None = None
    scores: tuple[float, ...] = ()


class Example(Document):
    """Rows with the columns of the signature, and their answers in the same order, if they were recorded.

    tolerance: largest accepted difference between a recorded and a replayed score or value, relative to the larger of 1
    and the recorded one.
    """

    DOCUMENT: ClassVar[str] = "example"

    rows: tuple[dict[str, Cell], ...] = Field(min_length=1, max_length=MAX_ROWS)
    answers: tuple[ExampleAnswer, ...] = ()
    tolerance: Annotated[float, Field(ge=0, le=1)] = 1e-4

    def columns(self) -> dict[str, list[Any]]:
        """Column name to the values of all rows; None where a row has no value."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: [row.get(name) for row in self.rows] for name in names}
