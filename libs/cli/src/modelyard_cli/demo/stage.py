"""The stage of a demo: a fresh local stack, and lines with the time since its begin."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from modelyard_cli.context import Platform
from modelyard_cli.output import complaints
from modelyard_cli.stack.commands import start_stack, stop_stack
from modelyard_cli.verbs.console import console_link


@contextlib.contextmanager
def fresh_platform(data_dir: Path, keep: bool, began: float) -> Iterator[Platform]:
    """The platform of the environment, or a fresh local stack that is stopped at the end."""
    if os.environ.get("REGISTRY_URL"):
        yield Platform.find(data_dir)
        return
    stack = data_dir / "stack"
    stop_stack(stack)
    shutil.rmtree(stack, ignore_errors=True)
    try:
        state = start_stack(stack, any_ports=True)
        say(began, f"stack ready after {state['ready_after_s']} s (broker: {state['kafka']['provider']})")
        platform = Platform.find(stack)
        say(began, f"watch it in the console: {console_link(platform)}")
        yield platform
    finally:
        if keep:
            say(began, f"left running: modelyard status --data-dir {stack}")
        else:
            stop_stack(stack)


def say(began: float, text: str) -> None:
    """Print a line on stderr with the seconds since `began`, a value of time.monotonic()."""
    moment = Text(f"{time.monotonic() - began:6.1f} s", style="dim")
    complaints.print(moment.append(f"  {text}", style="not dim"), soft_wrap=True)
