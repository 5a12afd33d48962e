"""The scoring stage: pin the rows as a dataset, score both versions on them, compare, judge."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from modelyard_contracts.manifest import ROW_ORDER, TARGET_FACT, TIME_FACT
from modelyard_evaluator.domain.errors import NotMeasurable
from modelyard_evaluator.domain.evaluation import Evaluation, RowSource, Stage
from modelyard_evaluator.domain.looks import ends, is_sequential, stay_open, undecided
from modelyard_evaluator.domain.outcome import conclude
from modelyard_evaluator.domain.ports import Deps, RegisteredVersion, RowCount
from modelyard_evaluator.domain.rows import too_few_rows, with_rows
from modelyard_evaluator.domain.standards import joins_a_vote
from modelyard_evaluator.domain.trial import judge_trial
from modelyard_evaluator.domain.verdict import Compared, Judgement, judge, overtaken
from modelyard_evaluator.usecases.comparisons import Comparisons
from modelyard_evaluator.usecases.earlier_versions import best_earlier_version
from modelyard_evaluator.usecases.others import compare_with_others
from modelyard_evaluator.usecases.prepare import decided_already, sides, signatures, since_of

MAX_HELD_OUT_ROWS: Final = 20_000
"""Held-out rows of a dataset are all used up to this number: the trainer holds out more where a class is rare."""


def score(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Pin, score, compare and judge; start again if another version serves since the versions were resolved."""
    if _champion_moved(deps, evaluation):
        return replace(evaluation, stage=Stage.PENDING, from_change=False, changed_at=deps.clock())
    folder = deps.work_dir / str(evaluation.id)
    folder.mkdir(parents=True, exist_ok=True)
    challenger, champion = sides(deps, evaluation)
    if (reason := decided_already(evaluation, challenger)) is not None:
        return conclude(evaluation, deps.clock(), reason)
    pinned = deps.scorer.pin(folder, _pin_job(deps, evaluation, folder, challenger, champion))
    if pinned["rows"] < evaluation.policy.min_rows:
        return conclude(evaluation, deps.clock(), _without_comparison(evaluation, pinned))
    evaluation = replace(evaluation, unusable_rows=pinned["unusable"])
    comparisons = Comparisons(deps.registry, deps.scorer, folder, _compare_job(evaluation, pinned))
    judged = _judge(deps, evaluation, comparisons, challenger, champion, _window(evaluation, pinned))
    return replace(judged, dataset_digest=_register_rows(deps, evaluation, folder, pinned)) if judged.done else judged


def _without_comparison(evaluation: Evaluation, pinned: dict[str, Any]) -> Judgement:
    """A first version that passed its trial needs no comparison with a constant; any other is inconclusive."""
    if evaluation.trial is None or evaluation.champion is not None:
        return too_few_rows(evaluation, RowCount(pinned["rows"], pinned["unusable"]))
    few = (
        f"Its answers are not compared with {evaluation.champion_name}: the gate needs {evaluation.policy.min_rows} "
        f"labelled rows of the sample, and {pinned['rows']} are left after those that give the baseline."
    )
    tried = judge_trial(evaluation.trial)
    return Judgement(tried.verdict, (*tried.reasons, few))


def _champion_moved(deps: Deps, evaluation: Evaluation) -> bool:
    """A challenger is compared with the version that serves now: a rollout may have ended during the wait."""
    if evaluation.asked_champion is not None:
        return False
    serving, compared = deps.registry.champion(evaluation.model), evaluation.champion
    return serving not in (compared.version if compared else None, evaluation.challenger_version)


def _judge(
    deps: Deps,
    evaluation: Evaluation,
    comparisons: Comparisons,
    challenger: RegisteredVersion,
    champion: RegisteredVersion | None,
    window: dict[str, Any],
) -> Evaluation:
    if champion:
        comparisons.measure("champion", champion)
    comparisons.measure("challenger", challenger)
    comparison, details = comparisons.compare("champion" if champion else None, "challenger", evaluation.champion_name)
    judgement = with_rows(judge(comparison, evaluation.policy), evaluation)
    others: tuple[Compared, ...] = ()
    voting = joins_a_vote(evaluation.policy)  # then earlier versions are members already
    earlier = best_earlier_version(comparisons, evaluation, challenger, judgement) if champion and not voting else None
    if earlier:
        judgement = overtaken(judgement, earlier.version, earlier.comparison, evaluation.policy)
        evaluation = replace(evaluation, return_to=earlier.version)
    elif not ends(evaluation, judgement, comparison.rows, deps.clock()):
        return stay_open(evaluation, judgement, comparison, window, deps.clock())
    elif champion and not voting:
        others = compare_with_others(comparisons, evaluation, challenger, judgement)
    if earlier is None:
        judgement = undecided(evaluation, judgement, comparison)
    details |= {"others": list(map(asdict, others)), "window": window}
    return conclude(evaluation, deps.clock(), judgement, comparison, details)


def _window(evaluation: Evaluation, pinned: dict[str, Any]) -> dict[str, Any]:
    """The rows of the comparison by prediction time."""
    begins_at = "change_point" if evaluation.from_change else "training"
    return {
        "rows": pinned["rows"],
        "begins_at": begins_at,
        "first_at": pinned["first_at"],
        "last_at": pinned["last_at"],
    }


def _register_rows(deps: Deps, evaluation: Evaluation, folder: Path, pinned: dict[str, Any]) -> str:
    return deps.registry.register_dataset(
        folder / "rows.parquet",
        model=evaluation.model,
        name=f"{evaluation.model} evaluation {evaluation.id}",
        rows=pinned["rows"],
        columns=pinned["columns"],
        source=pinned["source"],
    )


def _pin_job(
    deps: Deps,
    evaluation: Evaluation,
    folder: Path,
    challenger: RegisteredVersion,
    champion: RegisteredVersion | None,
) -> dict[str, Any]:
    job: dict[str, Any] = {
        "model": evaluation.model,
        "since": since_of(evaluation).isoformat(),
        "as_of": (evaluation.as_of or deps.clock()).isoformat(),
        "limit": max(evaluation.policy.recent_rows, evaluation.policy.min_rows),
        "newest": True,
        "source": evaluation.source.value,
        "signatures": {i: s.model_dump(mode="json") for i, s in signatures(challenger, champion).items()},
    }
    if evaluation.looks:
        return {**job, "limit": max(evaluation.policy.max_open_rows, evaluation.policy.min_rows), "newest": False}
    if evaluation.source is RowSource.LABELS:
        return job
    digest = challenger.manifest.training.dataset_digest
    if digest is None:
        raise NotMeasurable(
            "the model has no champion, and the challenger's manifest names no training dataset with held-out rows; "
            "register the version with the digest of its training dataset, or approve it by hand"
        )
    deps.registry.download_dataset(digest, folder / "training.data")
    limit = max(job["limit"], MAX_HELD_OUT_ROWS)
    return {**job, **_dataset_of(challenger, champion), "limit": limit}


def _dataset_of(challenger: RegisteredVersion, champion: RegisteredVersion | None) -> dict[str, Any]:
    """The challenger's training dataset, and the moment after which its rows are held out from both versions."""
    lineage = challenger.manifest.training
    time_column = lineage.parameters.get(TIME_FACT, "occurred_at")
    dataset: dict[str, Any] = {
        "dataset_digest": lineage.dataset_digest,
        "target": lineage.parameters.get(TARGET_FACT, challenger.signature.target),
        "time_column": time_column,
        "train_from": lineage.train_from.isoformat() if lineage.train_from else None,
    }
    if time_column == ROW_ORDER and lineage.train_from and lineage.train_until:
        used = lineage.train_until - lineage.train_from
        other = champion.manifest.training if champion else None
        if other and other.dataset_digest == lineage.dataset_digest and other.train_from and other.train_until:
            used = max(used, other.train_until - other.train_from)
        dataset["since"] = (lineage.train_from + used).isoformat()
    return dataset


def _compare_job(evaluation: Evaluation, pinned: dict[str, Any]) -> dict[str, Any]:
    return {
        "metric": evaluation.metric,
        "confidence": evaluation.policy.confidence,
        "sequential": is_sequential(evaluation),
        "seed": evaluation.id.int % 2**63,
        "label_column": pinned["label_column"],
        "baseline": pinned["baseline"],
    }
