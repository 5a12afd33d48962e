"""A picture of boxes and the ways between them, as `ui.picture` draws it. Lengths in pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

BOX_WIDTH: Final = 176
BOX_HEIGHT: Final = 58
MARGIN: Final = 2
TITLE_CHARACTERS: Final = 19
DETAIL_CHARACTERS: Final = 25


@dataclass(frozen=True)
class Box:
    """A title and at most two lines of detail, cut to fit. full: the whole text. link: where a click leads."""

    x: int
    y: int
    title: str
    details: tuple[str, ...] = ()
    full: str = ""
    link: str = ""
    chosen: bool = False
    width: int = BOX_WIDTH
    height: int = BOX_HEIGHT

    @classmethod
    def of(cls, x: int, y: int, title: str, details: Sequence[str], link: str = "", *, chosen: bool = False) -> Self:
        """A box whose texts are cut to its width."""
        lines = tuple(cut(text, DETAIL_CHARACTERS) for text in details[:2])
        return cls(x, y, cut(title, TITLE_CHARACTERS), lines, ". ".join((title, *details)), link, chosen)

    @property
    def left(self) -> tuple[int, int]:
        """Where a way arrives."""
        return self.x, self.y + self.height // 2

    @property
    def right(self) -> tuple[int, int]:
        """Where a way starts."""
        return self.x + self.width, self.y + self.height // 2


@dataclass(frozen=True)
class Branch:
    """The way between two boxes. d: an SVG path; lines: its words, each with the place where it begins."""

    d: str
    lines: tuple[tuple[int, int, str], ...] = ()
    full: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class Picture:
    """Boxes and branches. width, height: of the whole picture."""

    boxes: tuple[Box, ...]
    branches: tuple[Branch, ...]

    @property
    def width(self) -> int:
        return max(box.x + box.width for box in self.boxes) + MARGIN

    @property
    def height(self) -> int:
        return max(box.y + box.height for box in self.boxes) + MARGIN


def cut(text: str, characters: int) -> str:
    """The start of a text, with an ellipsis if it is longer."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
