"""Confine this process, then try the version."""

from pathlib import Path

from modelyard_confine import Amounts, Confinement, NotRestricted, Walls, confine
from modelyard_contracts.manifest import ModelManifest
from modelyard_serving.errors import Unloadable
from modelyard_serving.loading import read_manifest
from modelyard_serving.trial.attempt import attempt
from modelyard_serving.trial.report import TrialLimits, TrialOutcome, TrialReport
from modelyard_serving.trial.watch import Watch


def attempt_confined(folder: Path, scratch: Path, limits: TrialLimits, connection: Path | None = None) -> TrialReport:
    """Never raises because of the version. connection: see run_trial."""
    try:
        manifest = read_manifest(folder).manifest
        readable = (folder,) if connection is None else (folder, connection)
        walls = _confine(manifest, readable, scratch, limits)
    except Unloadable as error:
        return TrialReport(outcome=TrialOutcome.FAILED, reason=str(error))
    except NotRestricted as error:
        return TrialReport(outcome=TrialOutcome.NOT_RUN, reason=str(error))
    if not walls.complete and not limits.allow_unconfined:
        return TrialReport(outcome=TrialOutcome.NOT_RUN, reason=walls.described, confined_by=walls.names)
    watch = Watch(folder)
    report = attempt(folder, limits.measure_s, connection)
    return report.model_copy(update={"confined_by": walls.names, "refused": tuple(watch.refused)})


def _confine(manifest: ModelManifest, readable: tuple[Path, ...], scratch: Path, limits: TrialLimits) -> Walls:
    return confine(
        Confinement(
            scratch=scratch,
            readable=readable,
            network=manifest.permissions.network,
            amounts=Amounts(memory_mib=limits.memory_mib, file_mib=limits.scratch_mib, cpu_s=int(limits.seconds) + 1),
        )
    )
