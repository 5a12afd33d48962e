"""The stages of an evaluation. Each reads what it needs anew and can be done again after a crash."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from modelyard_evaluator.domain.model import Evaluation, Side, Stage
from modelyard_evaluator.domain.ports import Known, Labels, Refused, Registry, Scorer
from modelyard_evaluator.domain.verdict import judge, overtaken, too_few_rows
from modelyard_evaluator.race import Race, best_earlier
from modelyard_evaluator.report import finish
from modelyard_runtime.clock import Clock
from modelyard_runtime.database import Database

POLL_S: Final = 1.0
"""Between two counts of labelled rows while an evaluation waits."""


def _nobody(_: Evaluation) -> None:
    return None


@dataclass(frozen=True)
class Deps:
    database: Database
    registry: Registry
    labels: Labels
    scorer: Scorer
    clock: Clock
    work: Path
    """Folder of the evaluations' files; gone when they have ended."""
    max_wait_s: float = 60.0
    on_finished: Callable[[Evaluation], None] = _nobody


def _resolve(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Ask the registry what is to be compared, and by which policy."""
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
        since=max(known.seen_until for known in (challenger, champion) if known),
        changed_at=deps.clock(),
    )


def _await_rows(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Go on as soon as there are enough labelled rows; give up after a while, without a pass."""
    now = deps.clock()
    if evaluation.champion is None:
        return replace(evaluation, stage=Stage.SCORING, as_of=now, changed_at=now)
    rows = deps.labels.count(evaluation.model, _since(evaluation), _schema_ids(deps, evaluation))
    if rows >= evaluation.policy.min_rows:
        return replace(evaluation, stage=Stage.SCORING, as_of=now, changed_at=now)
    waited_s = (now - evaluation.changed_at).total_seconds()
    if waited_s >= deps.max_wait_s:
        return finish(evaluation, deps.clock(), too_few_rows(rows, evaluation.policy, waited_s))
    note = f"{rows} of {evaluation.policy.min_rows} labelled rows"
    return replace(evaluation, note=note, next_at=now + timedelta(seconds=POLL_S))


def _score(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Pin the rows as a dataset, score both on them, compare, judge."""
    folder = deps.work / str(evaluation.id)
    folder.mkdir(parents=True, exist_ok=True)
    challenger, champion = _sides(deps, evaluation)
    pinned = deps.scorer.pin(folder, _pin_job(deps, evaluation, folder, challenger, champion))
    if pinned["rows"] < evaluation.policy.min_rows:
        waited_s = (deps.clock() - evaluation.created_at).total_seconds()
        return finish(evaluation, deps.clock(), too_few_rows(pinned["rows"], evaluation.policy, waited_s))
    digest = deps.registry.register_dataset(
        folder / "rows.parquet",
        model=evaluation.model,
        name=f"{evaluation.model} evaluation {evaluation.id}",
        rows=pinned["rows"],
        columns=pinned["columns"],
        source=pinned["source"],
    )
    race = Race(deps.registry, deps.scorer, folder, _compare_job(evaluation, pinned))
    if champion:
        race.enter("champion", champion)
    race.enter("challenger", challenger)
    found, by_class = race.run("champion" if champion else None, "challenger", evaluation.champion_name)
    own = judge(found, evaluation.policy)
    back = best_earlier(race, evaluation, challenger, own) if champion else None
    judgement = overtaken(own, back.version, back.found, evaluation.policy) if back else own
    scored = replace(evaluation, dataset_digest=digest, return_to=back.version if back else None)
    return finish(scored, deps.clock(), judgement, found, by_class)


STAGES: Final[dict[Stage, Callable[[Deps, Evaluation], Evaluation]]] = {
    Stage.PENDING: _resolve,
    Stage.WAITING: _await_rows,
    Stage.SCORING: _score,
    Stage.FINISHED: lambda _, evaluation: evaluation,
}


def _sides(deps: Deps, evaluation: Evaluation) -> tuple[Known, Known | None]:
    challenger = deps.registry.version(evaluation.model, evaluation.challenger_version)
    champion = deps.registry.version(evaluation.model, evaluation.champion.version) if evaluation.champion else None
    return challenger, champion


def _schema_ids(deps: Deps, evaluation: Evaluation) -> tuple[str, ...]:
    return tuple(sorted({known.manifest.feature_schema.id for known in _sides(deps, evaluation) if known}))


def _pin_job(
    deps: Deps, evaluation: Evaluation, folder: Path, challenger: Known, champion: Known | None
) -> dict[str, Any]:
    job: dict[str, Any] = {
        "model": evaluation.model,
        "since": _since(evaluation).isoformat(),
        "as_of": (evaluation.as_of or deps.clock()).isoformat(),
        "limit": max(evaluation.policy.recent_rows, evaluation.policy.min_rows),
    }
    if champion is not None:
        schemas = {known.manifest.feature_schema.id: known.manifest.feature_schema for known in (challenger, champion)}
        return {**job, "source": "labels", "schemas": {i: s.model_dump(mode="json") for i, s in schemas.items()}}
    digest = challenger.manifest.training.dataset_digest
    if digest is None:
        raise Refused(
            "there is no champion, and the challenger's manifest names no training dataset to hold rows out of"
        )
    deps.registry.download_dataset(digest, folder / "training.parquet")
    return {**job, "source": "dataset", "dataset_digest": digest}


def _compare_job(evaluation: Evaluation, pinned: dict[str, Any]) -> dict[str, Any]:
    return {
        "metric": evaluation.policy.metric or "accuracy",
        "confidence": evaluation.policy.confidence,
        "seed": evaluation.id.int % 2**63,
        "baseline_class": pinned["baseline_class"] if evaluation.champion is None else None,
    }


def _since(evaluation: Evaluation) -> datetime:
    return evaluation.since or evaluation.created_at
