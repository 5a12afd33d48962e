"""Scans of versions: a condition of registration, and again when the rules have changed."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from modelyard_contracts import VersionStage as Stage
from modelyard_contracts.admission import FileScan, Finding, ScanReport, ScanVerdict, TensorDigest
from modelyard_contracts.manifest import FileEntry, Permissions
from modelyard_registry.domain.admission import (
    PASSING,
    REFUSED,
    Inadmissible,
    NothingToAllow,
    NotScanned,
    PermissionNotGranted,
    asked,
    reason_of,
    refusal,
)
from modelyard_registry.domain.errors import BlobNotFound
from modelyard_registry.domain.kinds import permissions_of
from modelyard_registry.domain.ports import Deps, Records, Unit
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.tensors import largest
from modelyard_registry.domain.values import Origin, Resource, ResourceKey, Scan, Version
from modelyard_registry.usecases.history import move, note, origin_of, save_labels
from modelyard_runtime.errors import Invalid, ModelyardError

ALLOWED: Final = "permissions_allowed"
"""Change in the history: a person granted the permissions of a version."""
SCANNED: Final = "version_scanned"
VERDICT_TAG: Final = "scan.verdict"
"""Tag of a version that serves although its files were later found malicious."""
RESCANS_AT_ONCE: Final = 50
log = logging.getLogger(__name__)


def allow_permissions(deps: Deps, key: ResourceKey, number: int, *, actor: str, reason: str) -> Version:
    """Record that a person grants what the manifest of a version asks for. NothingToAllow when it asks for nothing."""
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        version = unit.versions.get(resource, number)
        permissions = permissions_of(key.kind, version)
        if not asked(permissions):
            raise NothingToAllow(number)
        _grant(unit, resource, version, permissions, origin_of(deps, actor, reason))
        return version


@dataclass(frozen=True)
class Inspection:
    """What the files of a version hold."""

    report: ScanReport
    tensors: tuple[TensorDigest, ...] = ()
    """The largest; empty when the scan refuses the files, which are then not read any further."""


def inspect(deps: Deps, files: Sequence[FileEntry]) -> Inspection:
    """Scan the files of a version; holds no lock. BlobNotFound when one is missing."""
    with deps.blobs.laid_out(files) as folder:
        report = deps.scanner.scan(folder)
        return Inspection(report, () if report.verdict in REFUSED else largest(deps.scanner.tensors(folder)))


def check_permissions(records: Records, resource: Resource, version: Version, *, may_allow: bool) -> None:
    """PermissionNotGranted unless the caller may grant what the manifest asks for, or a person has granted it."""
    permissions = permissions_of(resource.key.kind, version)
    if not asked(permissions) or records.history.last_of(resource, version.version, ALLOWED) is not None:
        return
    if not may_allow:
        raise PermissionNotGranted(permissions)
    if not permissions.reason.strip():
        field = "manifest.permissions.reason"
        raise Invalid(f"{field}: write why the version needs {', '.join(asked(permissions))}", field=field)


def admit(unit: Unit, resource: Resource, version: Version, found: Inspection, origin: Origin) -> Inadmissible | None:
    """Store the scan of a pending version; a refusal that is final rejects the version. Returns the refusal.

    The caller holds the lock, and raises the refusal once the transaction is committed.
    """
    report = found.report
    _save(unit, resource, version.version, found, origin.at)
    permissions = permissions_of(resource.key.kind, version)
    refused = refusal(report, permissions)
    if refused is None:
        if asked(permissions) and unit.history.last_of(resource, version.version, ALLOWED) is None:
            _grant(unit, resource, version, permissions, replace(origin, reason=permissions.reason))
    elif report.verdict in REFUSED:
        move(unit, resource, version, Signal.FAILED, replace(origin, reason=_sentence(report)))
    return refused


def refused_before(records: Records, resource: Resource, version: Version) -> Inadmissible | None:
    """Return the refusal of a version that the scan rejected before it was registered, for repeats of finalize."""
    if version.stage is not Stage.REJECTED or records.history.has_been(resource, version.version, Stage.REGISTERED):
        return None
    return unsafe(records, resource, version)


def unsafe(records: Records, resource: Resource, version: Version) -> Inadmissible | None:
    """Return the refusal by the last scan of the version; None when it passed, or never was scanned."""
    scan = records.scans.get(resource, version.version)
    return refusal(scan.report, permissions_of(resource.key.kind, version)) if scan else None


def scan_again(deps: Deps, key: ResourceKey, number: int, *, actor: str) -> Scan:
    """Scan a version by the rules of today. A malicious one is rejected; one that serves is marked instead.

    NotScanned while it is pending.
    """
    with deps.storage.read() as records:
        resource = records.resources.get(key)
        version = records.versions.get(resource, number)
        files = records.versions.files(resource, number)
    if version.stage is Stage.PENDING:
        raise NotScanned(number)
    found = _inspect_or_explain(deps, files)
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        version = unit.versions.get(resource, number)
        scan = _save(unit, resource, number, found, deps.clock())
        if version.scan_verdict != scan.report.verdict:
            _follow_verdict(unit, resource, version, scan.report, origin_of(deps, actor, _sentence(scan.report)))
        return scan


def scan_outdated(deps: Deps, *, budget_s: float, actor: str) -> int:
    """Scan versions whose last scan used other rules, those that serve first, until the budget is used up.

    Returns the number of versions scanned; the rest follows at the next call.
    """
    end = time.monotonic() + budget_s
    with deps.storage.read() as records:
        waiting = records.scans.outdated(deps.scanner.current_rules(), RESCANS_AT_ONCE)
    done = 0
    for key, number in waiting:
        if time.monotonic() >= end:
            break
        try:
            scan_again(deps, key, number, actor=actor)
            done += 1
        except ModelyardError as error:
            log.warning("version %d of %s was not scanned again: %s", number, key.reference, error)
    return done


def _save(unit: Unit, resource: Resource, number: int, found: Inspection, at: datetime) -> Scan:
    scan = Scan(found.report, at)
    unit.scans.save(resource, number, scan)
    if found.report.verdict not in REFUSED:
        unit.tensors.save(resource, number, found.tensors)
    return scan


def _inspect_or_explain(deps: Deps, files: Sequence[FileEntry]) -> Inspection:
    """Inspect the files; a missing one is a finding, so that the version is not clean."""
    try:
        return inspect(deps, files)
    except BlobNotFound as error:
        finding = Finding(rule="missing-file", verdict=ScanVerdict.INCOMPLETE, message=str(error))
        missing = FileScan(
            path=files[0].path, size_bytes=0, format="unknown", verdict=finding.verdict, findings=(finding,)
        )
        rules = deps.scanner.rules_version
        return Inspection(ScanReport(rules_version=rules, verdict=finding.verdict, files=(missing,)))


def _follow_verdict(unit: Unit, resource: Resource, version: Version, report: ScanReport, origin: Origin) -> None:
    detail = {"verdict": report.verdict.value, "before": version.scan_verdict, "rules_version": report.rules_version}
    note(unit, resource, SCANNED, origin, detail, version=version.version)
    if version.stage is Stage.LIVE:
        _mark(unit, resource, version, report, origin)
    elif report.verdict is ScanVerdict.MALICIOUS and version.stage not in (Stage.REJECTED, Stage.RETIRED):
        move(unit, resource, version, Signal.REJECTED, origin)


def _mark(unit: Unit, resource: Resource, version: Version, report: ScanReport, origin: Origin) -> None:
    """Tag a version that serves, and publish it: taking it out of traffic is a decision of a person."""
    tags = {name: value for name, value in version.tags.items() if name != VERDICT_TAG}
    if report.verdict not in PASSING:
        tags[VERDICT_TAG] = report.verdict.value
    if tags != version.tags:
        save_labels(unit, resource, replace(version, tags=tags), origin)


def _grant(unit: Unit, resource: Resource, version: Version, permissions: Permissions, origin: Origin) -> None:
    note(unit, resource, ALLOWED, origin, {"permissions": list(asked(permissions))}, version=version.version)


def _sentence(report: ScanReport) -> str:
    return f"scan by rules {report.rules_version}: {report.verdict}: {reason_of(report)}"[:2_000]
