"""The kind of a text by its content: model files of XGBoost and LightGBM, JSON, YAML, CSV, Python, Markdown."""

import ast
import json
import re
import warnings
from typing import Final

from modelyard_admission.buffers import Data

SAMPLE_BYTES: Final = 64 * 1024
MAX_REFERENCE_BYTES: Final = 4_096
REFERENCES: Final = frozenset({"container-image", "api-model"})
MAX_SOURCE_BYTES: Final = 2 * 1024 * 1024
_SOURCE: Final = re.compile(
    rb"^\s*(?:(?:async )?def \w+\s*\(|class \w+\s*[(:]|import \w|from [\w.]+ import |@\w+)",
    re.MULTILINE,
)
_YAML: Final = re.compile(rb"^(?:---|[\w.\"'-]+:(?: .*)?)\s*$", re.MULTILINE)


def text_kind(data: Data) -> str:
    """The kind, such as `json` or `python`; `text` if nothing else fits."""
    head = data[:SAMPLE_BYTES]
    start = head.lstrip()
    if start.startswith((b"tree\nversion=", b"tree\r\nversion=")):
        return "lightgbm"
    if _is_lines_of_json(start):
        return "jsonl"
    if re.match(rb'\{\s*["}]|\[\s*[\[{"\d\]-]', start):
        return _json_kind(start)
    if start.startswith(b"#!"):
        return "script"
    if is_python(data):
        return "python"
    return _prose_kind(start)


def _is_lines_of_json(start: bytes) -> bool:
    """True if the first two lines are JSON objects on their own."""
    lines = start.splitlines()[:2]
    return len(lines) == 2 and all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines)


def _json_kind(start: bytes) -> str:
    if (reference := _reference_kind(start)) is not None:
        return reference
    booster = b'"learner"' in start[:4096] or b'"Config"' in start[:4096]
    return "xgboost-json" if booster and start.startswith((b'{"learner":', b'{"version":', b'{"Config":')) else "json"


def _reference_kind(start: bytes) -> str | None:
    """The kind of a document that names a model which is not in the files."""
    if len(start) > MAX_REFERENCE_BYTES or not any(f'"{kind}"'.encode() in start for kind in REFERENCES):
        return None
    try:
        found = json.loads(start)
    except (ValueError, RecursionError):
        return None
    kind = found.get("kind") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) and kind in REFERENCES else None


def is_python(data: Data) -> bool:
    """True for a text that Python can parse and that defines, imports or calls something."""
    if len(data) > MAX_SOURCE_BYTES:
        return _SOURCE.search(data[:MAX_SOURCE_BYTES]) is not None
    if _SOURCE.search(data) is None and b"(" not in data:
        return False
    return parsed(data) is not None and _does_something(data)


def parsed(data: Data) -> ast.Module | None:
    """The syntax tree; None if it is no Python, or nested too deeply to be parsed."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(data[:])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _does_something(data: Data) -> bool:
    tree = parsed(data)
    code = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Call
    return tree is not None and any(isinstance(node, code) for node in ast.walk(tree))


def _prose_kind(start: bytes) -> str:
    lines = [line for line in start.splitlines()[:50] if line.strip()]
    if any(line.startswith(b"# ") for line in lines) or start.startswith(b"---\n"):
        return "markdown" if not _is_mapping(lines) else "yaml"
    if _is_mapping(lines):
        return "yaml"
    separators = {line.count(b",") for line in lines[:-1] or lines}
    return "csv" if len(separators) == 1 and separators != {0} else "text"


def _is_mapping(lines: list[bytes]) -> bool:
    plain = [line for line in lines if not line.startswith((b"#", b" ", b"-"))]
    return bool(plain) and all(_YAML.match(line) for line in plain)
