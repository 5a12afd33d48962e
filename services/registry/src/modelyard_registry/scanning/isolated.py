"""Scans in a process with limits on memory and time, so that a hostile file cannot stop the registry."""

import logging
from collections.abc import Sequence
from pathlib import Path

from modelyard_admission import RULES_VERSION, scan_isolated, tensor_digests
from modelyard_contracts.admission import ScanReport, TensorDigest

log = logging.getLogger(__name__)


class IsolatedScanner:
    """Rules and parsers of libs/admission."""

    rules_version = RULES_VERSION

    def scan(self, folder: Path) -> ScanReport:
        """A crash, a limit or a time-out of the process is the verdict `incomplete`."""
        return scan_isolated(folder)

    def tensors(self, folder: Path) -> Sequence[TensorDigest]:
        """Digests of the tensors of files that passed the scan; empty when they cannot be read.

        In this process, as the files are no longer hostile. Digests are advice, so no failure refuses a version.
        """
        try:
            return tensor_digests(folder)
        except Exception:
            log.exception("the tensors of a version were not digested")
            return ()
