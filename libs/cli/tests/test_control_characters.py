"""No text of a caller, a service or a file moves the cursor or changes colours of a terminal."""

from typing import Any

import pytest
from rich.console import RenderableType
from rich.markdown import Markdown
from rich.panel import Panel
from rich.text import Text

from modelyard_cli.output import PlainConsole, rows

ESCAPE = "a\x1b[2Jb\x9b31mc\rd\x08e\u202ef"
SHAPES: list[Any] = [
    ESCAPE,
    Text(ESCAPE),
    Panel(ESCAPE, title=ESCAPE),
    Markdown(ESCAPE),
    rows(ESCAPE, ("name", "reason"), [{"name": ESCAPE, "reason": {ESCAPE: [ESCAPE]}}]),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
@pytest.mark.parametrize("terminal", [True, False])
def test_no_control_character_of_a_text_is_printed(shape: RenderableType, terminal: bool) -> None:
    console = PlainConsole(force_terminal=terminal, color_system=None, width=300, legacy_windows=False)
    with console.capture() as captured:
        console.print(shape)
    printed = captured.get().replace("\x1b[0m", "").replace("\x1b[1m", "")
    assert all(sign == "\n" or sign.isprintable() for sign in printed), repr(printed)
    assert "a" in printed
