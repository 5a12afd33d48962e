"""Turn a drift into a run, as the model's retraining policy allows."""

from dataclasses import replace

from modelyard_contracts import DriftDetected, derived_id
from modelyard_contracts.policies import RetrainPolicy
from modelyard_trainer.domain.errors import BadRequest, UnknownModel
from modelyard_trainer.domain.policy import Refusal, refuse
from modelyard_trainer.domain.run import Run
from modelyard_trainer.usecases.create import create_run, recipe_of, refused_run, unusable
from modelyard_trainer.usecases.deps import Deps, RunRequest
from modelyard_trainer.usecases.timing import facts_of, is_news


def retrain_on_drift(deps: Deps, event: DriftDetected) -> Run | None:
    """Create a run or a refused run; None if the event was handled before or the same refusal was just published."""
    try:
        policy = deps.registry.retrain_policy(event.model)
        if policy is None:
            raise UnknownModel(event.model)
        served = deps.registry.served(event.model)
    except BadRequest as error:
        return _refuse_unreadable(deps, event, error)
    serving, now = deps.registry.serving_version(event.model), deps.clock()
    request = _request_of(event, policy)
    request = replace(request, recipe=recipe_of(deps, request, policy, served))
    run_id = derived_id("run-of-event", event.event_id)
    with deps.runs.session() as session:
        if not session.claim(event.event_id):
            return None
        facts = replace(facts_of(deps, session, event.model, now), serving_version=serving)
        refusal = refuse(event, policy, facts, deps.policy_time(now)) or unusable(deps, request)
        if refusal is None:
            run = create_run(deps, run_id, request, policy, trigger=event.kind.value)
        elif is_news(deps, session, event.model, refusal, policy, now):
            run = refused_run(deps, run_id, request, refusal, policy, trigger=event.kind.value)
        else:
            return None
        session.add(run, now)
    return run


def _refuse_unreadable(deps: Deps, event: DriftDetected, error: BadRequest) -> Run | None:
    """Record a refused run when a document of a newer release keeps the drift from being handled."""
    policy, run_id = RetrainPolicy(), derived_id("run-of-event", event.event_id)
    with deps.runs.session() as session:
        if not session.claim(event.event_id):
            return None
        refusal = Refusal(error.code, str(error))
        run = refused_run(deps, run_id, _request_of(event, policy), refusal, policy, trigger=event.kind.value)
        session.add(run, deps.clock())
    return run


def _request_of(event: DriftDetected, policy: RetrainPolicy) -> RunRequest:
    return RunRequest(
        model=event.model,
        reason=event.reason,
        requested_by="drift",
        recipe=policy.recipe,
        parameters=policy.parameters,
        change_at=event.change_at,
        correlation_id=event.correlation_id,
        cause_id=event.event_id,
    )
