"""Findings of containers: zip, npz, archives of torch, tar, and single compressed streams."""

import io
import tarfile
from collections.abc import Iterable, Iterator

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.notes import Job, Note, Verdict, failing_closed
from modelyard_admission.readers.compressed import decompress
from modelyard_admission.readers.zips import (
    STORED,
    Archive,
    Damaged,
    Member,
    checksum_holds,
    prefix_bytes,
    read_zip,
    unpack,
)
from modelyard_admission.scanners.pickles import scan_torch_pickle
from modelyard_admission.walks import is_inside


def scan_zip(data: Data, job: Job) -> Iterator[Note]:
    """Every member by its own format."""
    archive = read_zip(data, job.budget)
    yield from zip_notes(archive)
    for member in archive.members:
        yield from member_notes(archive, member, job)


def zip_notes(archive: Archive) -> Iterator[Note]:
    """Findings of the archive itself: paths that leave it, and bytes before it."""
    for member in archive.members:
        if not is_inside(member.name):
            yield Note("archive-path", Verdict.MALICIOUS, f"holds {member.name[:200]!r}, a path outside of the archive")
    if prefix_bytes(archive):
        yield Note("archive-prefix", Verdict.INCOMPLETE, f"has {prefix_bytes(archive)} bytes before its first member")


def member_notes(archive: Archive, member: Member, job: Job) -> Iterable[Note]:
    try:
        return job.nested(unpack(archive, member, job.budget), member.name)
    except Damaged as damaged:
        note = Note("archive-damaged", Verdict.INCOMPLETE, str(damaged), member.name)
        return [note, *job.nested(damaged.content, member.name)]
    except Malformed as error:
        return [Note("archive-damaged", Verdict.INCOMPLETE, str(error), member.name)]


def scan_torch(data: Data, job: Job) -> Iterator[Note]:
    """An archive of torch.save or torch.export.save: pickles, and raw storages, which are only checked."""
    archive = read_zip(data, job.budget)
    yield from zip_notes(archive)
    for member in archive.members:
        inner = member.name.partition("/")[2] or member.name
        if is_raw_storage(inner):
            yield from _raw(archive, member, job)
        elif inner.endswith((".pkl", ".debug_pkl")):
            yield from _torch_pickle(archive, member, job)
        elif not _is_mark(inner):
            yield from member_notes(archive, member, job)


def is_raw_storage(inner: str) -> bool:
    """True for the storages `data/0`, and the weights `data/weights/weight_0` of an exported program."""
    folder, _, name = inner.rpartition("/")
    return (folder in {"data", "constants"} and name.isdigit()) or (
        folder in {"data/weights", "data/constants"} and name.startswith(("weight_", "tensor_"))
    )


def _is_mark(inner: str) -> bool:
    """Members of a few bytes that name versions and byte orders."""
    return inner in {
        "version",
        "byteorder",
        ".format_version",
        ".storage_alignment",
        "archive_format",
        "archive_version",
    } or (inner.startswith(".data/"))


def _raw(archive: Archive, member: Member, job: Job) -> Iterator[Note]:
    job.budget.check_time()
    if member.method != STORED or not checksum_holds(archive, member):
        yield Note("torch-storage", Verdict.INCOMPLETE, "holds a storage that is packed or damaged", member.name)


def _torch_pickle(archive: Archive, member: Member, job: Job) -> Iterator[Note]:
    try:
        content = unpack(archive, member, job.budget)
    except Damaged as damaged:
        yield Note("archive-damaged", Verdict.INCOMPLETE, str(damaged), member.name)
        content = damaged.content
    for note in failing_closed(scan_torch_pickle, content, job, "pickle-broken"):
        yield note.inside(member.name)


def scan_tar(data: Data, job: Job) -> Iterator[Note]:
    """Every file by its own format; links, devices and paths that leave the archive are findings."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data[:]), mode="r:") as archive:
            for entry in archive:
                job.budget.spend_member()
                yield from _tar_entry(archive, entry, job)
    except tarfile.TarError as error:
        raise Malformed(f"is no readable tar archive ({error})") from error


def _tar_entry(archive: tarfile.TarFile, entry: tarfile.TarInfo, job: Job) -> Iterator[Note]:
    if not is_inside(entry.name):
        yield Note("archive-path", Verdict.MALICIOUS, f"holds {entry.name[:200]!r}, a path outside of the archive")
    if entry.issym() or entry.islnk() or entry.isdev():
        yield Note("archive-link", Verdict.MALICIOUS, f"holds the link or device {entry.name[:200]!r}", entry.name)
    elif entry.isreg():
        job.budget.spend_unpacked(entry.size)
        content = archive.extractfile(entry)
        yield from job.nested(content.read() if content else b"", entry.name)


def scan_compressed(format_: str, data: Data, job: Job) -> Iterator[Note]:
    """One compressed stream; its content by its own format."""
    yield from job.nested(decompress(data, format_, job.budget), f"{format_} content")
