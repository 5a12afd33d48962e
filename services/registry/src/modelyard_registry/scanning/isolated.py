"""Scans in a process with limits on memory and time, so that a hostile file cannot stop the registry."""

import logging
from collections.abc import Sequence
from pathlib import Path

from modelyard_admission import RULES_VERSION, scan_isolated, tensor_digests
from modelyard_contracts.admission import ScanReport, TensorDigest
from modelyard_registry.scanning.snapshot import OsvSnapshot

log = logging.getLogger(__name__)


class IsolatedScanner:
    """Rules and parsers of libs/admission. snapshot: known vulnerabilities, for versions that list dependencies."""

    rules_version = RULES_VERSION

    def __init__(self, snapshot: OsvSnapshot | None = None) -> None:
        self._snapshot = snapshot or OsvSnapshot(None)

    def current_rules(self) -> tuple[str, ...]:
        return RULES_VERSION, _with_snapshot(self._snapshot.now().identity)

    def scan(self, folder: Path) -> ScanReport:
        """A crash, a limit or a time-out of the process is the verdict `incomplete`."""
        snapshot = self._snapshot.now()
        report = scan_isolated(folder, osv_snapshot=snapshot.path)
        if report.dependencies is None:
            return report
        return report.model_copy(update={"rules_version": _with_snapshot(snapshot.identity)})

    def tensors(self, folder: Path) -> Sequence[TensorDigest]:
        """Digests of the tensors of files that passed the scan; empty when they cannot be read.

        In this process, as the files are no longer hostile. Digests are advice, so no failure refuses a version.
        """
        try:
            return tensor_digests(folder)
        except Exception:
            log.exception("the tensors of a version were not digested")
            return ()


def _with_snapshot(identity: str) -> str:
    """Rules of a version with dependencies: another snapshot has it scanned again."""
    return f"{RULES_VERSION}+osv.{identity}"
