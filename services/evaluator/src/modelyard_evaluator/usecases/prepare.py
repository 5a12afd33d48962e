"""The stages before scoring: resolve both versions, then wait for labelled rows."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from modelyard_contracts import Verdict, VersionStage
from modelyard_contracts.manifest import has_learned_everything, learner_of
from modelyard_contracts.policies import GatePolicy, Metric
from modelyard_contracts.signature import Signature, Task
from modelyard_evaluator.domain.errors import NotMeasurable, Unreachable, UnreadableVersion
from modelyard_evaluator.domain.evaluation import EVER, REGISTRY, Evaluation, RowSource, Side, Stage
from modelyard_evaluator.domain.outcome import conclude
from modelyard_evaluator.domain.ports import Deps, RegisteredVersion, RowCount
from modelyard_evaluator.domain.rows import too_few_rows
from modelyard_evaluator.domain.standards import applied, joins_a_vote
from modelyard_evaluator.domain.verdict import Judgement

WAITS_FOR_A_VERDICT: Final = frozenset({VersionStage.PENDING, VersionStage.REGISTERED, VersionStage.EVALUATED})
JUST_BEFORE: Final = timedelta(microseconds=1)
"""Rows predicted after this long before a moment include those of the moment itself."""
POLL_S: Final = 1.0
"""Interval between two counts of labelled rows while an evaluation waits."""


def resolve_versions(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Read challenger, champion and policy from the registry.

    Once the challenger is known, anything that cannot be read ends the evaluation with a verdict that is published.
    """
    deps.scorer.warm()
    try:
        challenger = deps.registry.version(evaluation.model, evaluation.challenger_version)
    except UnreadableVersion as error:
        known = replace(evaluation, challenger=Side(evaluation.challenger_version, error.digest))
        return _inconclusive(deps, known, error)
    side, learner = Side(challenger.version, challenger.digest), learner_of(challenger.manifest)
    evaluation = replace(evaluation, challenger=side, learner=learner)
    if (judgement := decided_already(evaluation, challenger)) is not None:
        return conclude(evaluation, deps.clock(), judgement)
    try:
        champion = _champion(deps, evaluation)
        evaluation = with_standard(deps, replace(evaluation, alarm=None), champion.version if champion else None)
    except NotMeasurable as error:
        return _inconclusive(deps, evaluation, error)
    return replace(
        evaluation,
        stage=Stage.WAITING,
        champion=Side(champion.version, champion.digest) if champion else None,
        since=_since(evaluation.policy, challenger, champion),
        from_change=False,
        looks=0,
        counted_rows=0,
        current=None,
        changed_at=deps.clock(),
    )


def with_standard(deps: Deps, evaluation: Evaluation, champion: int | None) -> Evaluation:
    """Read the gate policy and, if the standard depends on it, whether the champion is failing."""
    gate, adaptive = deps.registry.policy(evaluation.model), deps.registry.is_adaptive(evaluation.model)
    policy = applied(gate, adaptive=adaptive, first=champion is None)
    if champion is None or joins_a_vote(policy):
        return replace(evaluation, policy=policy, alarm=None, alarms_unknown="")
    evaluation = _with_alarm(deps, evaluation, champion)
    failing = evaluation.alarm is not None
    return replace(evaluation, policy=applied(gate, adaptive=adaptive, first=False, failing=failing))


def _with_alarm(deps: Deps, evaluation: Evaluation, champion: int) -> Evaluation:
    """Ask the monitor; without an answer the alarm is the one known before, at first none."""
    try:
        alarm = deps.alarms.open_alarm(evaluation.model, champion)
    except Unreachable as error:
        return replace(evaluation, alarms_unknown=str(error))
    return replace(evaluation, alarm=alarm, alarms_unknown="")


def decided_already(evaluation: Evaluation, challenger: RegisteredVersion) -> Judgement | None:
    """Inconclusive if a person approved or rejected the version before it was judged; None otherwise.

    An evaluation that a person requests judges versions of any stage.
    """
    if evaluation.requested_by != REGISTRY or challenger.stage in WAITS_FOR_A_VERDICT:
        return None
    reason = f"Version {challenger.version} was not judged: it is {challenger.stage} already."
    return Judgement(Verdict.INCONCLUSIVE, (reason,))


def _since(policy: GatePolicy, challenger: RegisteredVersion, champion: RegisteredVersion | None) -> datetime:
    """Rows after this moment were seen by neither version.

    A member of a vote that has learned from every labelled row does not wait for later ones: whether its answers are
    usable shows on these rows, too.
    """
    if joins_a_vote(policy) and has_learned_everything(challenger.manifest):
        return EVER
    return max(version.seen_until for version in (challenger, champion) if version)


def _champion(deps: Deps, evaluation: Evaluation) -> RegisteredVersion | None:
    version = evaluation.asked_champion or deps.registry.champion(evaluation.model)
    if version in (None, evaluation.challenger_version):
        return None
    return deps.registry.version(evaluation.model, version)


def _inconclusive(deps: Deps, evaluation: Evaluation, error: NotMeasurable) -> Evaluation:
    reason = f"The versions cannot be compared: {error}"
    return conclude(evaluation, deps.clock(), Judgement(Verdict.INCONCLUSIVE, (reason,)))


def wait_for_rows(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Continue as soon as there are enough labelled rows.

    Without labelled rows, or after `max_wait_s` with too few, the held-out rows of the challenger's training dataset
    are used; if it names none, the verdict is inconclusive.
    """
    challenger, champion = sides(deps, evaluation)
    task, metric = _decide_metric(evaluation.policy, challenger, champion)
    evaluation, now = replace(evaluation, task=task, metric=metric), deps.clock()
    if champion is None:
        return start_scoring(evaluation, RowSource.DATASET, now)
    known, waited_s = signatures(challenger, champion), (now - evaluation.changed_at).total_seconds()
    change, needed = _later_change(evaluation), evaluation.policy.min_rows
    if change is not None:
        start = change - JUST_BEFORE
        after = deps.labels.count(evaluation.model, start, known).usable
        if after >= needed:
            return start_scoring(replace(evaluation, since=start, from_change=True), RowSource.LABELS, now, after)
    count = deps.labels.count(evaluation.model, since_of(evaluation), known)
    if count.usable >= needed and (change is None or waited_s >= deps.max_wait_s):
        return start_scoring(evaluation, RowSource.LABELS, now, count.usable)
    if count.usable >= needed:
        note = f"fewer than {needed} labelled rows after the change at {change:%Y-%m-%d %H:%M:%S} UTC"
        return replace(evaluation, note=note, next_at=now + timedelta(seconds=POLL_S))
    return _without_rows(deps, evaluation, challenger, count, waited_s)


def _later_change(evaluation: Evaluation) -> datetime | None:
    """Change in the champion's errors; None if all rows that are new to both versions are from after it."""
    change = evaluation.alarm.change_point if evaluation.alarm else None
    return None if change is None or change <= since_of(evaluation) else change


def _without_rows(
    deps: Deps, evaluation: Evaluation, challenger: RegisteredVersion, count: RowCount, waited_s: float
) -> Evaluation:
    now = deps.clock()
    has_dataset = challenger.manifest.training.dataset_digest is not None
    waits = waited_s < deps.max_wait_s and not joins_a_vote(evaluation.policy)
    if has_dataset and (count == RowCount(0) or not waits):
        return start_scoring(evaluation, RowSource.DATASET, now)
    if waited_s >= deps.max_wait_s:
        return conclude(evaluation, now, too_few_rows(evaluation, count))
    note = f"{count.usable} of {evaluation.policy.min_rows} labelled rows"
    note += f"; {count.unusable} unusable ones left out" if count.unusable else ""
    return replace(evaluation, note=note, next_at=now + timedelta(seconds=POLL_S))


def sides(deps: Deps, evaluation: Evaluation) -> tuple[RegisteredVersion, RegisteredVersion | None]:
    """Challenger and champion, read again: a stage depends on nothing that an earlier process held in memory."""
    challenger = deps.registry.version(evaluation.model, evaluation.challenger_version)
    champion = deps.registry.version(evaluation.model, evaluation.champion.version) if evaluation.champion else None
    return challenger, champion


def signatures(challenger: RegisteredVersion, champion: RegisteredVersion | None) -> Mapping[str, Signature]:
    """Signatures of both versions by id; rows of either are compared."""
    return {side.signature_id: side.signature for side in (challenger, champion) if side is not None}


def since_of(evaluation: Evaluation) -> datetime:
    """Rows predicted after this moment are new to both versions."""
    return evaluation.since or evaluation.created_at


def start_scoring(evaluation: Evaluation, source: RowSource, now: datetime, rows: int = 0) -> Evaluation:
    """Fix the rows: labels received by `now` count. rows: labelled rows that were counted."""
    return replace(evaluation, stage=Stage.SCORING, source=source, as_of=now, counted_rows=rows, changed_at=now)


def _decide_metric(
    policy: GatePolicy, challenger: RegisteredVersion, champion: RegisteredVersion | None
) -> tuple[Task, Metric]:
    """Task and metric of the comparison; NotMeasurable says why there is none."""
    task = challenger.signature.task
    if not task.labelled:
        what = "texts are" if task is Task.TEXT else "no label shows that a vector is right, so embeddings are"
        raise NotMeasurable(f"{what} not compared by this release; approve the version by hand")
    if champion is not None and champion.signature.task.classifies != task.classifies:
        raise NotMeasurable(
            f"the challenger's task is {task}, but version {champion.version} is the champion with the task "
            f"{champion.signature.task}; register it under another model name"
        )
    try:
        return task, policy.metric_for(task, challenger.manifest.training.parameters.get("metric"))
    except ValueError as error:
        raise NotMeasurable(str(error)) from error
