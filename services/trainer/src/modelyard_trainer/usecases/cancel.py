"""Cancel a run."""

from uuid import UUID

from modelyard_trainer.domain.errors import UnknownRun
from modelyard_trainer.domain.run import Run
from modelyard_trainer.domain.states import Signal, next_state
from modelyard_trainer.usecases.deps import Deps


def cancel_run(deps: Deps, run_id: UUID, *, by: str = "", reason: str = "") -> Run:
    """Mark the run for cancellation; the supervisor ends its worker. IllegalMove once it is being registered.

    by, reason: who cancels it and why; they stay in the reason of the run.
    """
    with deps.runs.session() as session:
        if (run := session.get(run_id)) is None:
            raise UnknownRun(run_id)
        next_state(run.state, Signal.CANCELLED)
        if run.cancel_requested:
            return run
        run = run.changed(cancel_requested=True, reason=_sentence(by, reason))
        session.save(run, deps.clock())
    return run


def _sentence(by: str, reason: str) -> str:
    who = f"cancelled by {by}" if by else "cancelled on request"
    return f"{who}: {reason}" if reason else who
