"""Check a skops file's description against the trust list before anything is built."""

import io
import json
import zipfile
from collections.abc import Collection, Iterator
from typing import Any, Final

from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.trust import TRUSTED_NODES

MAX_UNPACKED_BYTES: Final = 1024 * 1024 * 1024
"""Largest total size when unpacked: a small file must not fill the memory."""
MAX_SCHEMA_BYTES: Final = 64 * 1024 * 1024
"""Largest description, some five thousand trees: parsed as JSON it takes many times its size in memory."""
MAX_MEMBERS: Final = 20_000
MAX_DEPTH: Final = 100
_SCHEMA: Final = "schema.json"


def check_skops(path: str, data: bytes, trusted: Collection[tuple[str, str]] = TRUSTED_NODES) -> None:
    """Inadmissible if the file is not a skops file, too large when unpacked, or holds a type that is not trusted.

    trusted: (skops loader, full name of the type).
    """
    for loader, name in described_nodes(path, data):
        if (loader, name) not in trusted:
            raise Inadmissible(path, f"holds the type {name} (loaded as {loader}), which is not on the trust list")


def described_nodes(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """(loader, full name) of everything that the file would build; Inadmissible as for check_skops."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_members(path, archive)
            schema = json.loads(archive.read(_SCHEMA))
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError, NotImplementedError, EOFError) as error:
        raise Inadmissible(path, f"is not a readable skops file ({type(error).__name__}: {error})") from error
    yield from _nodes(path, schema)


def _check_members(path: str, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise Inadmissible(path, f"has {len(members)} members, or more than {MAX_UNPACKED_BYTES} bytes when unpacked")
    if sum(member.file_size for member in members if member.filename == _SCHEMA) > MAX_SCHEMA_BYTES:
        raise Inadmissible(path, f"has a {_SCHEMA} of more than {MAX_SCHEMA_BYTES} bytes")
    if len({member.filename for member in members}) != len(members):
        raise Inadmissible(path, "has two members of one name")
    for member in members:
        if member.filename != _SCHEMA and not member.filename.endswith(".npy"):
            raise Inadmissible(path, f"holds {member.filename!r}, which is neither {_SCHEMA} nor an array")


def _nodes(path: str, schema: Any) -> Iterator[tuple[str, str]]:
    """(loader, type) of every node; iterative, so that a deep file cannot exhaust the stack."""
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    if not isinstance(schema, dict) or "__loader__" not in schema:
        raise Inadmissible(path, f"{_SCHEMA} describes no object")
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise Inadmissible(path, f"is nested deeper than {MAX_DEPTH}")
        if isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)
        elif isinstance(value, dict):
            if any(mark in value for mark in ("__loader__", "__class__", "__module__")):
                yield str(value.get("__loader__")), f"{value.get('__module__')}.{value.get('__class__')}"
            waiting.extend((item, depth + 1) for item in value.values())
