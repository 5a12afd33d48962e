"""What a person needs to decide about a version, and what became of earlier decisions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from modelyard import AuditEntry, EvaluationRun, ListedModel, RolloutRun, StagedVersion, TrainingRun
from modelyard_contracts import Verdict, VersionStage

DECIDED: Final = (VersionStage.APPROVED, VersionStage.REJECTED)
BEFORE: Final = (VersionStage.REGISTERED, VersionStage.EVALUATED, VersionStage.REJECTED)
"""Stages that a decision leaves; a version that leaves another one was replaced or rolled back."""


@dataclass(frozen=True)
class Waiting:
    """A version that waits for a decision, with its evidence as far as it is known."""

    version: StagedVersion
    evaluation: EvaluationRun | None
    run: TrainingRun | None
    champion: int | None
    """The version that serves now, which the new one would replace."""

    @property
    def anchor(self) -> str:
        return f"{self.version.model}-{self.version.version}"

    @property
    def compared_with_another(self) -> bool:
        """Whether the evaluation compared it with a version that no longer serves."""
        champion = self.evaluation.champion if self.evaluation else None
        return champion is not None and self.champion is not None and champion.version != self.champion


def waiting(
    versions: Iterable[StagedVersion],
    evaluations: Iterable[EvaluationRun],
    runs: Iterable[TrainingRun],
    models: Iterable[ListedModel],
) -> list[Waiting]:
    """Versions with their newest evaluation, the run that made them and what they would replace.

    evaluations: newest first.
    """
    newest = newest_evaluations(evaluations)
    made = {(run.model, run.version): run for run in runs if run.version is not None}
    champions = {model.name: model.champion_version for model in models}
    return [
        Waiting(
            one,
            newest.get((one.model, one.version)),
            made.get((one.model, one.version)),
            champions.get(one.model),
        )
        for one in versions
    ]


def newest_evaluations(evaluations: Iterable[EvaluationRun]) -> dict[tuple[str, int], EvaluationRun]:
    """The newest evaluation of each version, one with a verdict before one without. evaluations: newest first."""
    found: dict[tuple[str, int], EvaluationRun] = {}
    for one in evaluations:
        key = (one.model, one.challenger_version)
        if key not in found or (found[key].verdict is None and one.verdict is not None):
            found[key] = one
    return found


def without_verdict(found: Sequence[Waiting]) -> list[Waiting]:
    """Versions on which no verdict was possible: only a person can move them."""
    return [one for one in found if one.evaluation and one.evaluation.verdict is Verdict.INCONCLUSIVE]


@dataclass(frozen=True)
class Decision:
    """A decision that was made, and the rollout that followed."""

    entry: AuditEntry
    rollout: RolloutRun | None


def decided(entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    """Approvals and rejections among these entries."""
    return [entry for entry in entries if _decides(entry)]


def decisions(entries: Iterable[AuditEntry], rollouts: Iterable[RolloutRun]) -> list[Decision]:
    """Approvals and rejections, each with the newest rollout of its version since then. rollouts: newest first."""
    newest: dict[tuple[str, int | None], RolloutRun] = {}
    for rollout in rollouts:
        newest.setdefault((rollout.model, rollout.to_version), rollout)
    return [Decision(entry, _followed(entry, newest)) for entry in entries]


def _decides(entry: AuditEntry) -> bool:
    return (
        entry.kind == "model"
        and entry.version is not None
        and entry.stage in DECIDED
        and entry.previous_stage in BEFORE
    )


def _followed(entry: AuditEntry, newest: dict[tuple[str, int | None], RolloutRun]) -> RolloutRun | None:
    rollout = newest.get((entry.resource, entry.version))
    started = rollout.created_at if rollout else None
    return rollout if started is not None and started >= entry.occurred_at else None


def last_move(entries: Iterable[AuditEntry], version: int) -> AuditEntry | None:
    """The newest change of a version's stage. entries: newest first."""
    return next((entry for entry in entries if entry.version == version and entry.stage is not None), None)
