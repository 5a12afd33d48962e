"""What the evaluator does, whoever asks: an evaluation is written down, and moved on one stage at a time."""

import logging
import shutil
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from modelyard_contracts import Verdict, derived_id
from modelyard_evaluator import store
from modelyard_evaluator.domain.model import Evaluation
from modelyard_evaluator.domain.ports import Away, ChallengerBroken, Refused
from modelyard_evaluator.domain.verdict import Judgement
from modelyard_evaluator.report import finish, finished_event, return_event
from modelyard_evaluator.stages import STAGES, Deps
from modelyard_runtime.database import Transaction

MAX_RETRY_S: Final = 30.0
MAX_ATTEMPTS: Final = 20
"""Failed attempts at a stage after which the verdict is inconclusive; some eight minutes."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """Somebody wants a version compared. cause: what makes this request the same as another one."""

    model: str
    challenger_version: int
    correlation_id: UUID
    requested_by: str
    cause: str
    cause_id: UUID | None = None
    champion_version: int | None = None
    reason: str = ""


def request_evaluation(tx: Transaction, asked: Request, at: datetime) -> Evaluation:
    """Write it down; the same cause for the same versions is the same evaluation."""
    new = Evaluation(
        id=derived_id("evaluation", asked.model, asked.challenger_version, asked.champion_version, asked.cause),
        model=asked.model,
        challenger_version=asked.challenger_version,
        cause_id=asked.cause_id,
        correlation_id=asked.correlation_id,
        requested_by=asked.requested_by,
        created_at=at,
        changed_at=at,
        reason=asked.reason,
        asked_champion=asked.champion_version,
    )
    return store.add(tx.connection, new)


def advance(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Move it on by one stage, or note why that cannot be yet. Safe to repeat after a crash at any line."""
    try:
        after = STAGES[evaluation.stage](deps, evaluation)
    except ChallengerBroken as error:
        after = finish(
            evaluation, deps.clock(), Judgement(Verdict.REJECT, (f"The challenger cannot be scored: {error}",))
        )
    except Refused as error:
        said = f"It cannot be measured: {error}"
        after = finish(evaluation, deps.clock(), Judgement(Verdict.INCONCLUSIVE, (said,)))
    except Away as error:
        after = _again(deps, evaluation, str(error))
    return _write(deps, evaluation, after)


def _again(deps: Deps, evaluation: Evaluation, why: str) -> Evaluation:
    attempts = evaluation.attempts + 1
    if attempts >= MAX_ATTEMPTS and evaluation.challenger is not None:  # before, nobody could be told of the end
        said = f"It could not be measured in {attempts} attempts: {why}"
        return finish(evaluation, deps.clock(), Judgement(Verdict.INCONCLUSIVE, (said,)))
    pause_s = min(2.0 ** min(attempts - 1, MAX_ATTEMPTS), MAX_RETRY_S)
    log.warning("evaluation %s waits %.0f s: %s", evaluation.id, pause_s, why)
    return replace(evaluation, attempts=attempts, note=why, next_at=deps.clock() + timedelta(seconds=pause_s))


def _write(deps: Deps, before: Evaluation, after: Evaluation) -> Evaluation:
    """One transaction: the row and, at the end, its event."""
    if after.stage is not before.stage:
        after = replace(after, attempts=0, next_at=after.changed_at)
    with deps.database.transaction() as tx:
        saved = store.save(tx.connection, before, after)
        for event in (finished_event(saved), return_event(saved)) if saved.done else ():
            if event is not None:
                tx.outbox.add(event, key=saved.model)
    if saved.done:
        shutil.rmtree(deps.work / str(saved.id), ignore_errors=True)
        log.info("evaluation %s of %s version %s: %s", saved.id, saved.model, saved.challenger_version, saved.verdict)
        deps.on_finished(saved)
    return saved
