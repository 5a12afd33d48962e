"""What a backtest has done so far, on disk: a run that was stopped goes on where it was."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modelyard_cli.stack.layout import StackError
from modelyard_cli.stack.locks import sole_holder

FILE: Final = "journal.jsonl"
LOCK: Final = "lock"


@dataclass
class Progress:
    """Of one policy: answers by row, and the rows that are done (answered, labelled and settled)."""

    outputs: dict[int, Any]
    done: int


class Journal:
    """One line per finished block of one policy; a torn last line is left out."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        """facts: what must be the same for a run to go on; StackError when the folder holds another run."""
        self._path = folder / FILE
        self._lines: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            self._lines = list(_lines(self._path.read_text()))
            self._write("".join(json.dumps(line) + "\n" for line in self._lines))
        if self._lines and self._lines[0].get("facts") != facts:
            raise StackError(
                f"{folder} holds another backtest (other data, policies, delay or seed); use another --report folder, "
                f"or remove it with `rm -r {folder}`"
            )
        if not self._lines:
            self._write("")
            self._append({"facts": facts})

    @property
    def resumed(self) -> bool:
        """Whether a run is continued."""
        return any("policy" in line for line in self._lines)

    @property
    def finished(self) -> bool:
        """Whether the report was written."""
        return any("closed" in line for line in self._lines)

    def close(self) -> None:
        """Note that the report was written."""
        self._append({"closed": True})

    def progress(self, policy: str, first: int) -> Progress:
        """What was done for a policy."""
        blocks = [line for line in self._lines if line.get("policy") == policy and "outputs" in line]
        outputs = {line["first"] + place: output for line in blocks for place, output in enumerate(line["outputs"])}
        return Progress(outputs, max((line["first"] + len(line["outputs"]) for line in blocks), default=first))

    def block(self, policy: str, first: int, outputs: list[Any]) -> None:
        """Note a block that has settled."""
        self._append({"policy": policy, "first": first, "outputs": outputs})

    def result(self, policy: str) -> dict[str, Any] | None:
        """The noted result of a policy, or None while it is not finished."""
        return next((line["result"] for line in self._lines if line.get("policy") == policy and "result" in line), None)

    def finish(self, policy: str, result: dict[str, Any]) -> None:
        """Note the result of a policy."""
        self._append({"policy": policy, "result": result})

    def _write(self, text: str) -> None:
        """Replace the file at once: a kill in between leaves the old one."""
        draft = self._path.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(self._path)

    def _append(self, line: dict[str, Any]) -> None:
        self._lines.append(line)
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()


@contextlib.contextmanager
def sole_run(folder: Path) -> Iterator[None]:
    """Hold the folder; StackError while another backtest runs there, whose stack this one would stop as a left one."""
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"a backtest already runs in {folder}; wait for it, stop it by Ctrl-C, or use another --report folder"
    with sole_holder(folder / LOCK, busy):
        yield


def _lines(text: str) -> Any:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return
