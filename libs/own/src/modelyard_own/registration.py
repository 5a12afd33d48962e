"""Register a planned model: upload what the platform lacks, then create and finalize the version."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard import ApiError, RegistryClient, VersionInfo
from modelyard.errors import ApiUnavailable
from modelyard_contracts.example import EXAMPLE_FILE
from modelyard_contracts.manifest import FileEntry, ManifestFile
from modelyard_own.errors import UnfitModel
from modelyard_own.manifest import Plan

ATTEMPTS: Final = 4
"""Uploads whose connection is cut are repeated, with pauses of 1, 2 and 4 s."""
MIB: Final = 1 << 20
Report = Callable[[str], None]
Pause = Callable[[float], None]


@dataclass(frozen=True)
class Registered:
    """A version after its second phase. skipped_bytes: of files that the platform had already."""

    info: VersionInfo
    uploaded_bytes: int
    skipped_bytes: int


def register_plan(
    registry: RegistryClient, plan: Plan, model: str, report: Report, pause: Pause = time.sleep
) -> Registered:
    """Upload and register. Repeating it after a crash continues: finished files are there, and the key is the same.

    The model is created if it does not exist. ApiError if the registry refuses the version, such as after its scan.
    """
    _create_model(registry, plan, model)
    report("hashing the files")
    entries = (*plan.stored, *(file.entry() for file in plan.files))
    dataset = plan.labelled.upload(registry, model) if plan.labelled is not None else None
    manifest = ManifestFile.write(plan.manifest(model, dataset, entries))
    stated = plan.stated
    pending = registry.create_version(
        manifest, idempotency_key=_key(manifest), semver=stated.semver, tags=stated.tags or None
    )
    missing = {entry.digest: entry for entry in manifest.manifest.files if entry.digest in pending.missing_blobs}
    sources: dict[str, Path | bytes] = {file.path: file.source for file in plan.files}
    sources[EXAMPLE_FILE] = plan.example_bytes
    for entry in missing.values():
        _upload(registry, entry, _source(plan, sources, entry.path), report, pause)
    report("scanning the files")
    info = registry.finalize_version(model, pending.version)
    sent = _size(missing.values())
    return Registered(info, sent, _size({entry.digest: entry for entry in manifest.manifest.files}.values()) - sent)


def _source(plan: Plan, sources: Mapping[str, Path | bytes], path: str) -> Path | bytes:
    if path not in sources:
        raise UnfitModel(f"--base: {path} of {plan.source.base_model} is not stored any more; register the base again")
    return sources[path]


def _size(entries: Iterable[FileEntry]) -> int:
    return sum(entry.size_bytes for entry in entries)


def _key(manifest: ManifestFile) -> str:
    """The same manifest is the same registration."""
    return f"own-{hashlib.sha256(manifest.data).hexdigest()[:32]}"


def _create_model(registry: RegistryClient, plan: Plan, model: str) -> None:
    try:
        registry.model(model)
    except ApiError as error:
        if error.status != 404:
            raise
        registry.create_model(model, description=plan.stated.description, owner=plan.stated.owner)


def _upload(registry: RegistryClient, entry: FileEntry, source: Path | bytes, report: Report, pause: Pause) -> None:
    """Upload a file; a cut connection is tried again, unless the file has arrived nevertheless."""

    def progress(sent_bytes: int) -> None:
        share = sent_bytes / max(entry.size_bytes, 1)
        report(f"uploading {entry.path}: {share:.0%} of {entry.size_bytes / MIB:.1f} MiB")

    for attempt in range(1, ATTEMPTS + 1):
        try:
            if attempt == 1 or not registry.has_blob(entry.digest):
                registry.upload(entry.digest, source, progress)
            return
        except ApiUnavailable as error:
            if attempt == ATTEMPTS:
                raise
            report(f"uploading {entry.path}: interrupted ({error.detail or error.title}), trying again")
            pause(2.0 ** (attempt - 1))
