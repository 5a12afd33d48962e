"""The stages before scoring: resolve both versions, then wait for labelled rows."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from modelyard_evaluator.domain.evaluation import Evaluation, Side, Stage
from modelyard_evaluator.domain.outcome import conclude
from modelyard_evaluator.domain.ports import Deps, RegisteredVersion
from modelyard_evaluator.domain.verdict import too_few_rows

POLL_S: Final = 1.0
"""Interval between two counts of labelled rows while an evaluation waits."""


def resolve_versions(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Read challenger, champion and policy from the registry."""
    deps.scorer.warm()
    challenger = deps.registry.version(evaluation.model, evaluation.challenger_version)
    champion_version = evaluation.asked_champion or deps.registry.champion(evaluation.model)
    champion = None
    if champion_version not in (None, evaluation.challenger_version):
        champion = deps.registry.version(evaluation.model, champion_version)
    return replace(
        evaluation,
        stage=Stage.WAITING,
        challenger=Side(challenger.version, challenger.digest),
        champion=Side(champion.version, champion.digest) if champion else None,
        policy=deps.registry.policy(evaluation.model),
        since=max(version.seen_until for version in (challenger, champion) if version),
        changed_at=deps.clock(),
    )


def wait_for_rows(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Continue as soon as there are enough labelled rows; after `max_wait_s` the verdict is inconclusive."""
    now = deps.clock()
    if evaluation.champion is None:
        return replace(evaluation, stage=Stage.SCORING, as_of=now, changed_at=now)
    rows = deps.labels.count(evaluation.model, since_of(evaluation), _schema_ids(deps, evaluation))
    if rows >= evaluation.policy.min_rows:
        return replace(evaluation, stage=Stage.SCORING, as_of=now, changed_at=now)
    waited_s = (now - evaluation.changed_at).total_seconds()
    if waited_s >= deps.max_wait_s:
        return conclude(evaluation, now, too_few_rows(rows, evaluation.policy, waited_s))
    note = f"{rows} of {evaluation.policy.min_rows} labelled rows"
    return replace(evaluation, note=note, next_at=now + timedelta(seconds=POLL_S))


def sides(deps: Deps, evaluation: Evaluation) -> tuple[RegisteredVersion, RegisteredVersion | None]:
    """Challenger and champion, read again: a stage depends on nothing that an earlier process held in memory."""
    challenger = deps.registry.version(evaluation.model, evaluation.challenger_version)
    champion = deps.registry.version(evaluation.model, evaluation.champion.version) if evaluation.champion else None
    return challenger, champion


def since_of(evaluation: Evaluation) -> datetime:
    """Rows predicted after this moment are new to both versions."""
    return evaluation.since or evaluation.created_at


def _schema_ids(deps: Deps, evaluation: Evaluation) -> tuple[str, ...]:
    return tuple(sorted({side.manifest.feature_schema.id for side in sides(deps, evaluation) if side}))
