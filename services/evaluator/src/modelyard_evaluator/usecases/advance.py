"""Advance an evaluation by one stage, or record why it has to wait."""

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from modelyard_contracts import Message, Verdict
from modelyard_evaluator.domain.errors import ChallengerBroken, NotMeasurable, Unreachable
from modelyard_evaluator.domain.evaluation import Evaluation, Stage
from modelyard_evaluator.domain.live_share import share_request
from modelyard_evaluator.domain.looks import deadline
from modelyard_evaluator.domain.outcome import conclude, finished_event, rollout_request
from modelyard_evaluator.domain.ports import Deps
from modelyard_evaluator.domain.verdict import Judgement
from modelyard_evaluator.usecases.looks import look_again
from modelyard_evaluator.usecases.prepare import wait_for_rows
from modelyard_evaluator.usecases.score import score
from modelyard_evaluator.usecases.trial import resolve_or_try, run_trial

MAX_RETRY_S: Final = 30.0
MAX_ATTEMPTS: Final = 20
"""Failed attempts at a stage before the verdict is inconclusive; about eight minutes."""
STEPS: Final[Mapping[Stage, Callable[[Deps, Evaluation], Evaluation]]] = {
    Stage.PENDING: resolve_or_try,
    Stage.TRIAL: run_trial,
    Stage.WAITING: lambda deps, evaluation: (look_again if evaluation.looks else wait_for_rows)(deps, evaluation),
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
    """Back off, and give up after MAX_ATTEMPTS. An open comparison gives up at its deadline only.

    Without a resolved challenger no event could report the end, so such an evaluation never gives up.
    """
    attempts, until = evaluation.attempts + 1, deadline(evaluation)
    waits = evaluation.challenger is None or (until is not None and deps.clock() < until)
    if attempts >= MAX_ATTEMPTS and not waits:
        text = f"The comparison failed {attempts} times, the last time with: {reason}"
        return _conclude_without_numbers(deps, evaluation, Verdict.INCONCLUSIVE, text)
    pause_s = min(2.0 ** min(attempts - 1, MAX_ATTEMPTS), MAX_RETRY_S)
    log.warning("evaluation %s is retried in %.0f s: %s", evaluation.id, pause_s, reason)
    return replace(evaluation, attempts=attempts, note=reason, next_at=deps.clock() + timedelta(seconds=pause_s))


def _events(before: Evaluation, saved: Evaluation) -> list[Message]:
    """The request for a live share when it is recorded; at the end the verdict and the return of an earlier version."""
    found = (finished_event(saved), rollout_request(saved)) if saved.done else (share_request(before, saved),)
    return [event for event in found if event is not None]


def _store(deps: Deps, before: Evaluation, after: Evaluation) -> Evaluation:
    """Commit the row and the events that follow from it in one transaction."""
    if after.stage is not before.stage:
        after = replace(after, attempts=0, next_at=after.changed_at)
    with deps.storage.transaction() as tx:
        saved = tx.evaluations.save(before, after)
        for event in _events(before, saved):
            tx.publish(event, key=saved.model)
    if saved.done:
        shutil.rmtree(deps.work_dir / str(saved.id), ignore_errors=True)
        log.info("evaluation %s of %s version %s: %s", saved.id, saved.model, saved.challenger_version, saved.verdict)
        deps.on_finished(saved)
    return saved
