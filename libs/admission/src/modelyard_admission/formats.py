"""The format of a file by its content: magic bytes first, then structure. Names and extensions are never read."""

import re
from collections.abc import Callable
from typing import Final

from modelyard_admission.buffers import Data
from modelyard_admission.limits import Budget, Limits
from modelyard_admission.notes import Verdict
from modelyard_admission.pickles.lists import judge
from modelyard_admission.pickles.values import Name
from modelyard_admission.pickles.walker import Record, Walker
from modelyard_admission.readers import onnx, safetensors
from modelyard_admission.readers.compressed import peek
from modelyard_admission.readers.text_kinds import text_kind
from modelyard_admission.readers.texts import is_text
from modelyard_admission.readers.zips import member_names

SAMPLE_BYTES: Final = 64 * 1024
UNKNOWN: Final = "unknown"

_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"GGUF", "gguf"),
    (b"\x93NUMPY", "npy"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PAR1", "parquet"),
    (b"ARROW1\x00\x00", "arrow"),
    (b"\x7fELF", "native-code"),
    (b"MZ", "native-code"),
    (b"\xcf\xfa\xed\xfe", "native-code"),
    (b"\xca\xfe\xba\xbe", "native-code"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"%PDF-", "pdf"),
    (b"\x0a\x0d\x0d\x0a", "python-bytecode"),
)
COMPRESSED: Final = frozenset({"gzip", "zlib", "bz2", "xz", "lzma"})
"""Single streams; the format of their content decides."""


def recognise_format(data: Data) -> str:
    """Name of the format, such as `safetensors`, `pickle` or `zip`; `unknown` if nothing fits."""
    head = data[:64]
    if not head:
        return "empty"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return zip_kind(member_names(data)) if name == "zip" else name
    found = next((name for name, fits in _STRUCTURES if fits(data)), UNKNOWN)
    return text_kind(data) if found == "text" else found


def _is_pickle(data: Data) -> bool:
    """A PROTO opcode of a known protocol; pickles of protocols 0 and 1 are looked for by `_is_old_pickle`."""
    return len(data) > 2 and data[0] == 0x80 and data[1] <= 5


def _is_zlib(data: Data) -> bool:
    return (
        data[0] & 0x0F == 8
        and data[0] >> 4 <= 7
        and int.from_bytes(data[:2], "big") % 31 == 0
        and bool(peek(data, "zlib"))
    )


def _is_lzma(data: Data) -> bool:
    return data[:3] == b"\x5d\x00\x00" and bool(peek(data, "lzma"))


def _is_tar(data: Data) -> bool:
    """The checksum of the first header (POSIX.1-1988, ustar) holds."""
    header = data[:512]
    if len(header) < 512 or not header[0]:
        return False
    stated = re.fullmatch(rb" *([0-7]{1,7})[ \0]*", header[148:156])
    return stated is not None and int(stated[1], 8) == sum(header[:148]) + 8 * 32 + sum(header[156:])


def _is_old_pickle(data: Data) -> bool:
    """A stream without PROTO that an unpickler would run: it calls something, imports a dangerous name, or is whole."""
    if data[0] not in _FIRST_OPCODES:
        return False
    record = Walker(data, 0, Budget(Limits(seconds=10.0))).run()
    if record.complete and record.end >= len(data) - 1 and record.end > 3:
        return True
    return _runs_something(record)


def _runs_something(record: Record) -> bool:
    named = [name for name in record.names if _importable(name)]
    return bool(named) and (record.calls > 0 or any(judge(name) is Verdict.MALICIOUS for name in named))


def _importable(name: Name) -> bool:
    return all(part.isidentifier() for part in name.full.split("."))


_FIRST_OPCODES: Final = frozenset(b"(cC]})lINSVULFGJKMTXP.\x88\x89\x8a\x8c\x8e\x95\x96BPi")


def _is_ubjson(data: Data) -> bool:
    """UBJSON as XGBoost writes it: an object whose first keys are those of a booster."""
    return data[:1] == b"{" and data[1:2] in {b"L", b"i", b"U", b"I", b"l"} and b"learner" in data[:64]


def _is_text(data: Data) -> bool:
    return is_text(data[:SAMPLE_BYTES], cut=len(data) > SAMPLE_BYTES)


def zip_kind(names: list[str]) -> str:
    """The format of a zip archive by the names of its members."""
    inner = {name.split("/", 1)[1] for name in names if "/" in name}
    if "schema.json" in names:
        return "skops"
    if "config.json" in names and "metadata.json" in names and any(name.endswith(".h5") for name in names):
        return "keras"
    if {"archive_format", "archive_version"} <= inner or "serialized_exported_program.json" in names:
        return "torch-export"
    if "data.pkl" in inner or "data.pkl" in names:
        return "torchscript" if any(name.startswith("code/") for name in inner) else "torch"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    return "zip"


_STRUCTURES: Final[tuple[tuple[str, Callable[[Data], bool]], ...]] = (
    ("pickle", _is_pickle),
    ("safetensors", safetensors.looks_like),
    ("tar", _is_tar),
    ("zlib", _is_zlib),
    ("lzma", _is_lzma),
    ("xgboost-ubj", _is_ubjson),
    ("onnx", onnx.looks_like),
    ("pickle", _is_old_pickle),
    ("text", _is_text),
)
