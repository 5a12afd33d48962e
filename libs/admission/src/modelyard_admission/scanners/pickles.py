"""Findings of a pickle file: what its streams import, call and change, by lists of names."""

from collections.abc import Iterable, Iterator
from typing import Final

from modelyard_admission.buffers import Data
from modelyard_admission.notes import Job, Note, Verdict
from modelyard_admission.pickles.lists import judge
from modelyard_admission.pickles.streams import Streams, storage_of, walk
from modelyard_admission.pickles.walker import Record

_RULES: Final = {Verdict.SUSPICIOUS: "pickle-unlisted-global", Verdict.MALICIOUS: "pickle-dangerous-global"}
_REMEDY: Final = (
    "Save the model in a format without code: skops.io.dump for scikit-learn, safetensors or torch.export for torch."
)


def scan_pickle(data: Data, job: Job) -> Iterator[Note]:
    """A pickle or joblib file, or a file of torch before 1.6."""
    streams = walk(data, job.budget)
    yield from stream_notes(streams, torch=streams.legacy_torch)
    yield from _end(streams, len(data))


def scan_torch_pickle(data: Data, job: Job) -> Iterator[Note]:
    """A pickle inside an archive of torch, which may refer to storages."""
    streams = walk(data, job.budget)
    yield from stream_notes(streams, torch=True)
    yield from _end(streams, len(data))


def stream_notes(streams: Streams, *, torch: bool) -> Iterator[Note]:
    for record in streams.records:
        yield from _names(record)
        yield from _events(record)
        yield from _persistent(record, torch=torch)
    for record in streams.plain:
        yield from _other_reading(record)


def _names(record: Record) -> Iterator[Note]:
    for name, offset in record.names.items():
        verdict = judge(name)
        if verdict in _RULES:
            reason = (
                "runs code, opens files or reaches other modules" if verdict is Verdict.MALICIOUS else "is on no list"
            )
            yield Note(
                _RULES[verdict], verdict, f"imports {name.full[:200]}, which {reason}", f"byte {offset}", _REMEDY
            )


def _events(record: Record) -> Iterator[Note]:
    for offset, event in record.hostile:
        yield Note("pickle-hostile-opcode", Verdict.MALICIOUS, event, f"byte {offset}")
    for offset, event in record.odd:
        yield Note("pickle-computed-call", Verdict.SUSPICIOUS, event, f"byte {offset}")
    if record.error is not None:
        yield Note("pickle-broken", Verdict.INCOMPLETE, record.error)


def _persistent(record: Record, *, torch: bool) -> Iterable[Note]:
    if not torch and record.persistent:
        yield Note("pickle-persistent-id", Verdict.SUSPICIOUS, "refers to objects outside of the file")
    if torch and any(storage_of(value) is None for value in record.persistent):
        yield Note("pickle-persistent-id", Verdict.SUSPICIOUS, "refers to an object that is no storage of torch")


def _other_reading(record: Record) -> Iterator[Note]:
    """joblib skips arrays, a plain unpickler runs them: names that only the latter sees are hidden on purpose."""
    for name, offset in record.names.items():
        if judge(name) is Verdict.MALICIOUS:
            message = f"imports {name.full[:200]} when it is read as a plain pickle instead of by joblib"
            yield Note("pickle-two-readings", Verdict.MALICIOUS, message, f"byte {offset}")


def _end(streams: Streams, size_bytes: int) -> Iterator[Note]:
    if streams.end < size_bytes and streams.records[-1].complete:
        rest = size_bytes - streams.end
        yield Note(
            "pickle-trailing-bytes", Verdict.INCOMPLETE, f"has {rest} bytes after its end", f"byte {streams.end}"
        )
