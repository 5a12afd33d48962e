"""Advance an evaluation by one stage, or record why it has to wait."""

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from modelyard_contracts import Verdict
from modelyard_evaluator.domain.errors import ChallengerBroken, NotMeasurable, Unreachable
from modelyard_evaluator.domain.evaluation import Evaluation, Stage
from modelyard_evaluator.domain.outcome import conclude, finished_event, rollout_request
from modelyard_evaluator.domain.ports import Deps
from modelyard_evaluator.domain.verdict import Judgement
from modelyard_evaluator.usecases.prepare import resolve_versions, wait_for_rows
from modelyard_evaluator.usecases.score import score

MAX_RETRY_S: Final = 30.0
MAX_ATTEMPTS: Final = 20
"""Failed attempts at a stage before the verdict is inconclusive; about eight minutes."""
STEPS: Final[Mapping[Stage, Callable[[Deps, Evaluation], Evaluation]]] = {
    Stage.PENDING: resolve_versions,
    Stage.WAITING: wait_for_rows,
    Stage.SCORING: score,
    Stage.FINISHED: lambda _, evaluation: evaluation,
}
log = logging.getLogger(__name__)


def advance(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Run the current stage and store the result. Safe to repeat after a crash at any line."""
    try:
        after = STEPS[evaluation.stage](deps, evaluation)
    except ChallengerBroken as error:
        after = _conclude_without_numbers(deps, evaluation, Verdict.REJECT, f"The challenger cannot be scored: {error}")
    except NotMeasurable as error:
        reason = f"The versions cannot be compared: {error}"
        after = _conclude_without_numbers(deps, evaluation, Verdict.INCONCLUSIVE, reason)
    except Unreachable as error:
        after = _retry_later(deps, evaluation, str(error))
    return _store(deps, evaluation, after)


def _conclude_without_numbers(deps: Deps, evaluation: Evaluation, verdict: Verdict, reason: str) -> Evaluation:
    return conclude(evaluation, deps.clock(), Judgement(verdict, (reason,)))


def _retry_later(deps: Deps, evaluation: Evaluation, reason: str) -> Evaluation:
    """Back off. Without a resolved challenger no event could report the end, so such an evaluation never gives up."""
    attempts = evaluation.attempts + 1
    if attempts >= MAX_ATTEMPTS and evaluation.challenger is not None:
        text = f"The comparison failed {attempts} times, the last time with: {reason}"
        return _conclude_without_numbers(deps, evaluation, Verdict.INCONCLUSIVE, text)
    pause_s = min(2.0 ** min(attempts - 1, MAX_ATTEMPTS), MAX_RETRY_S)
    log.warning("evaluation %s is retried in %.0f s: %s", evaluation.id, pause_s, reason)
    return replace(evaluation, attempts=attempts, note=reason, next_at=deps.clock() + timedelta(seconds=pause_s))


def _store(deps: Deps, before: Evaluation, after: Evaluation) -> Evaluation:
    """Commit the row and, at the end of the evaluation, its events in one transaction."""
    if after.stage is not before.stage:
        after = replace(after, attempts=0, next_at=after.changed_at)
    with deps.storage.transaction() as tx:
        saved = tx.evaluations.save(before, after)
        for event in (finished_event(saved), rollout_request(saved)) if saved.done else ():
            if event is not None:
                tx.publish(event, key=saved.model)
    if saved.done:
        shutil.rmtree(deps.work_dir / str(saved.id), ignore_errors=True)
        log.info("evaluation %s of %s version %s: %s", saved.id, saved.model, saved.challenger_version, saved.verdict)
        deps.on_finished(saved)
    return saved
