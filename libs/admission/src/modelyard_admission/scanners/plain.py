"""Findings of formats that only need a check of their structure."""

from collections.abc import Iterator
from typing import Final

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.notes import Job, Note, Verdict
from modelyard_admission.readers import ubjson

_ENDS: Final = {"parquet": b"PAR1", "png": b"IEND\xaeB`\x82", "jpeg": b"\xff\xd9"}


def scan_ubjson(data: Data, job: Job) -> Iterator[Note]:
    ubjson.check(data)
    yield from ()


def scan_ended(format_: str, data: Data, job: Job) -> Iterator[Note]:
    """The end mark of a format: without it the file is cut short, or something else follows."""
    mark = _ENDS[format_]
    if data[max(0, len(data) - len(mark)) :] != mark:
        raise Malformed(f"does not end as {format_} does")
    yield from ()


def scan_code(data: Data, job: Job) -> Iterator[Note]:
    """A program that is no Python source: nothing in it can be checked."""
    yield Note("code-file", Verdict.SUSPICIOUS, "is a program or a library")
