"""Trials of versions, each in a confined process of the model server's package."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from modelyard_contracts.connections import Connection, ConnectionAccess
from modelyard_contracts.external import connection_of
from modelyard_contracts.manifest import ManifestFile
from modelyard_evaluator.domain.errors import Unreachable
from modelyard_evaluator.domain.trial import Trial, TrialOutcome
from modelyard_runtime.provider_keys import ProviderKeys
from modelyard_serving.trial import TrialLimits, run_trial

MANIFEST: Final = "manifest.json"
Read = Callable[[str], tuple[int, Connection | None]]
"""Revision and content of a connection by its reference, None if it was deleted."""


class TrialFailed(Unreachable):
    """This machine could not start a process; another attempt may succeed."""

    code = "trial_failed"


class ConfinedTrials:
    """Implements domain.ports.Trials. A model of a provider is called once, if its key is here."""

    def __init__(self, limits: TrialLimits, read: Read, keys: ProviderKeys) -> None:
        self._limits, self._read, self._keys = limits, read, keys

    def run(self, folder: Path) -> Trial:
        access = self._access(folder)
        if access is not None and access.problem:
            return Trial(TrialOutcome.NOT_RUN, f"connection {access.name}: {access.problem}")
        try:
            report = run_trial(folder, self._limits, access)
        except OSError as error:
            raise TrialFailed(f"the trial could not start: {error.strerror}") from error
        return Trial(
            outcome=TrialOutcome(report.outcome.value),
            reason=report.reason,
            rows=report.rows,
            load_s=report.load_s,
            p50_ms=report.p50_ms,
            p95_ms=report.p95_ms,
            memory_mib=report.peak_rss_mib,
            answers_equal=report.answers_equal,
            first_difference=report.first_difference,
            confined_by=report.confined_by,
        )

    def _access(self, folder: Path) -> ConnectionAccess | None:
        reference = connection_of(ManifestFile.read((folder / MANIFEST).read_bytes()).manifest)
        if reference is None:
            return None
        revision, connection = self._read(reference)
        return self._keys.access(reference, revision, connection)
