"""Rules for all tests of the workspace: no fixed sleeps, no private attributes."""

import ast
import gc
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = {"scripts", "workers"}
"""Folders of programs that tests start, stall and kill: not tests."""
FILES = sorted(
    file
    for folder in ("libs/*/tests", "services/*/tests", "tests")
    for file in ROOT.glob(f"{folder}/**/*.py")
    if file.parent.name not in PROGRAMS
)
REASON = re.compile(r"# (?:sleep|private): \w")


def title(file: Path) -> str:
    return str(file.relative_to(ROOT))


def violations(source: str) -> Iterator[str]:
    """Fixed sleeps and uses of private attributes, except on lines that state a reason."""
    excused = {line for line, comment in comments(source) if REASON.search(comment)}
    for node in ast.walk(parsed(source)):
        line = getattr(node, "lineno", 0)
        if line not in excused and is_sleep(node):
            yield f"line {line}: wait on a condition (wait_until, eventually) or add `# sleep: reason`"
        if line not in excused and is_private(node):
            yield f"line {line}: test only what is visible from outside, or add `# private: reason`"


def parsed(source: str) -> ast.Module:
    """Parse without garbage collection: Python 3.11 raises SystemError when a finalizer runs code during a parse."""
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        gc.enable()


def comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def is_sleep(node: ast.AST) -> bool:
    """True for sleep(x) and module.sleep(x), except sleep(0), which only yields to other tasks."""
    if not isinstance(node, ast.Call) or not node.args:
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    yields = isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
    return name == "sleep" and not yields


def is_private(node: ast.AST) -> bool:
    """True for `thing._name`, except on self and cls."""
    if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
        return False
    return not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))


@pytest.mark.parametrize("file", FILES, ids=title)
def test_a_test_waits_on_conditions_and_looks_from_outside(file: Path) -> None:
    assert list(violations(file.read_text())) == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("time.sleep(1)", 1),
        ("async def f():\n    await asyncio.sleep(delay)", 1),
        ("time.sleep(1)  # sleep: the pace of the load", 0),
        ("asyncio.sleep(0)", 0),
        ("relay._queue", 1),
        ("relay._queue = []  # private: no other way to lose it", 0),
        ("self._queue", 0),
        ("relay.__class__", 0),
    ],
)
def test_each_rule_fails_on_a_violation(source: str, count: int) -> None:
    assert len(list(violations(source))) == count
