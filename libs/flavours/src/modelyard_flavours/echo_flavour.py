"""Flavour `echo`: repeats its input word by word, at a given pace. For tests and demonstrations of streamed answers.

It can also misbehave on purpose: stop with an error, or stall, after a number of words.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from modelyard_contracts.inference.generate import Prompt
from modelyard_contracts.messages import Part
from modelyard_flavours.errors import Inadmissible

NAME: Final = "echo"
ENCODING: Final = "echo.json"
FILES: Final = (ENCODING,)
MAX_PAUSE_S: Final = 600.0


class Echo(Part):
    """The model: its only file."""

    schema_version: int = Field(default=1, ge=1, le=1)
    pause_s: float = Field(default=0.0, ge=0, le=MAX_PAUSE_S)
    """Pause before each word."""
    fail_after: int | None = Field(default=None, ge=0)
    """Number of words after which it raises an error."""
    stall_after: int | None = Field(default=None, ge=0)
    """Number of words after which it pauses for `stall_s`."""
    stall_s: float = Field(default=60.0, ge=0, le=MAX_PAUSE_S)

    @property
    def classes(self) -> tuple[str, ...]:
        """A generator has no classes."""
        return ()

    @property
    def shape(self) -> tuple[int, int]:
        """No number and one text."""
        return 0, 1

    def generate(self, prompt: Prompt, parameters: Mapping[str, Any]) -> Iterator[str]:
        """The words of the text, or of the last message of a chat, each with a space after it."""
        for count, word in enumerate(_last(prompt).split()):
            if count == self.fail_after:
                raise RuntimeError(f"fails after {count} words, as configured")
            if count == self.stall_after:
                time.sleep(self.stall_s)
            time.sleep(self.pause_s)
            yield f"{word} "

    def count_tokens(self, prompt: Prompt) -> int:
        """Number of words, of all messages of a chat."""
        texts = [prompt] if isinstance(prompt, str) else [message.content for message in prompt]
        return sum(len(text.split()) for text in texts)


def _last(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else prompt[-1].content


def save(fitted: object, folder: Path) -> None:
    """Write the flavour's file."""
    if not isinstance(fitted, Echo):
        raise TypeError(f"flavour {NAME!r} saves Echo, not {type(fitted).__name__}")
    (folder / ENCODING).write_text(fitted.model_dump_json(indent=1) + "\n")


def check(files: Mapping[str, bytes]) -> None:
    """Inadmissible if the file is not a valid Echo."""
    load_generator(files)


def load_generator(files: Mapping[str, bytes]) -> Echo:
    """Build the model from checked bytes."""
    try:
        return Echo.model_validate_json(files[ENCODING])
    except ValueError as error:
        raise Inadmissible(ENCODING, f"is not valid ({error})") from error


def environment() -> dict[str, str]:
    """Loading needs no further package."""
    return {}
