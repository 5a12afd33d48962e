"""`/rollouts`: open ones and their history; one rollout with its weights, guardrails and actions; starting one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from modelyard import ApiError, DeployerClient, RolloutRun, VersionInfo
from modelyard_console.clients.platform import Services, explained
from modelyard_console.domain import links
from modelyard_console.domain.rollouts import (
    forecast,
    guardrail_rows,
    lasted_s,
    moments_of,
    step_rows,
    weight_chart,
)
from modelyard_console.pages.flash import with_flash
from modelyard_console.pages.view import Console, Form, View
from modelyard_contracts import RolloutState, VersionStage
from modelyard_runtime.errors import Invalid

PAGE: Final = 100
MAX_ROWS: Final = 1_000
WAIT_S: Final = 5.0
"""How long a roll-back is waited for before its page is shown."""
ROLLS_OUT: Final = (VersionStage.APPROVED, VersionStage.LIVE)
"""Stages of versions that may be rolled out."""
STEP_ACTIONS: Final = {
    "advance": (DeployerClient.advance_rollout, "The rollout goes to its next step."),
    "hold": (DeployerClient.hold_rollout, "The step is held until a person resumes it."),
    "resume": (DeployerClient.resume_rollout, "The step goes on by the policy."),
}
"""Action on a step to its call and the sentence about it."""
STRATEGY: Final[Mapping[str, Literal["full", "canary"] | None]] = {"": None, "canary": "canary", "full": "full"}
"""Strategy by the value of its field."""
STRATEGIES: Final = (
    ("", "by the rollout policy"),
    ("canary", "canary: in steps"),
    ("full", "full: all traffic at once"),
)


class Wanted(BaseModel):
    """Filters of the list."""

    model_config = ConfigDict(frozen=True)

    model: str = Field("", max_length=200)
    state: Literal["", "promoted", "aborted", "rolled_back", "failed"] = ""
    limit: int = Field(PAGE, ge=1, le=MAX_ROWS)


@dataclass(frozen=True)
class Draft:
    """A rollout as typed in the form."""

    model: str = ""
    version: str = ""
    strategy: str = ""
    reason: str = ""


def add_rollouts(app: FastAPI, console: Console) -> None:
    _add_list(app, console)
    _add_starting(app, console)
    _add_rollout(app, console)
    _add_actions(app, console)


def _add_list(app: FastAPI, console: Console) -> None:
    @app.get("/rollouts", response_class=HTMLResponse)
    def rollouts(
        view: Annotated[View, Depends(console.view("read", "rollout"))], asked: Annotated[Wanted, Query()]
    ) -> Response:
        """List rollouts: open ones first, then those that have ended."""
        model, io = asked.model.strip() or None, view.io
        unfinished = io.deployer(lambda deployer: deployer.rollouts(model, unfinished=True, limit=PAGE))
        recent = io.deployer(lambda deployer: deployer.rollouts(model, limit=asked.limit))
        ended = [one for one in recent.part.or_else(()) if one.ended and asked.state in ("", one.state.value)]
        return view.page(
            "rollouts.html",
            asked=asked,
            unfinished=unfinished.part,
            recent=recent.part,
            ended=ended,
            states=[state.value for state in RolloutState if state.final],
            lasted={one.rollout_id: lasted_s(one, console.clock()) for one in recent.part.or_else(())},
            forecasts={one.rollout_id: forecast(one, console.clock()) for one in unfinished.part.or_else(())},
            more=len(recent.part.or_else(())) >= asked.limit < MAX_ROWS,
            most=MAX_ROWS,
        )


def _add_rollout(app: FastAPI, console: Console) -> None:
    @app.get("/rollouts/{rollout_id}", response_class=HTMLResponse)
    def one_rollout(rollout_id: str, view: Annotated[View, Depends(console.view("read", "rollout"))]) -> Response:
        """Show a rollout: weights over time, steps, guardrails, what happens next, and the vote of its model."""
        now, io = console.clock(), view.io
        rollout = io.deployer(lambda deployer: deployer.rollout(rollout_id)).needed()
        timeline = io.monitor(lambda monitor: monitor.timeline(rollout.correlation_id))
        votes = io.deployer(lambda deployer: deployer.votes(rollout.model))
        moments = moments_of(timeline.part.or_else(()), rollout.rollout_id)
        return view.page(
            "rollout.html",
            rollout=rollout,
            timeline=timeline.part,
            moments=moments,
            adaptive=any(one.adaptive for one in moments),
            chart=weight_chart(rollout, moments, now),
            steps=step_rows(rollout, moments, now),
            next=forecast(rollout, now),
            guardrails=guardrail_rows(rollout.guardrails),
            lasted=lasted_s(rollout, now),
            votes=votes.part,
        )


def _add_actions(app: FastAPI, console: Console) -> None:
    @app.post("/rollouts/{rollout_id}/step", response_class=HTMLResponse)
    def step(
        rollout_id: str, form: Annotated[Form, Depends(console.form("start", "rollout", over="any-workspace"))]
    ) -> Response:
        """Advance, hold or resume the step that the person saw."""
        reason, seen = form.required("reason", "Reason"), form.required("step", "Step")
        act = form.required("act", "Action")
        if act not in STEP_ACTIONS or not seen.isdecimal():
            raise Invalid("act, step: open the page of the rollout again, then choose an action", field="act")
        call, done = STEP_ACTIONS[act]
        return form.do(
            lambda io: call(io.deployer.client, rollout_id, int(seen), reason=reason),
            done=done,
            then=links.rollout(rollout_id),
        )

    @app.post("/rollouts/{rollout_id}/abort", response_class=HTMLResponse)
    def abort(
        rollout_id: str, form: Annotated[Form, Depends(console.form("abort", "rollout", over="any-workspace"))]
    ) -> Response:
        """Abort the rollout that the person saw."""
        reason, seen = form.required("reason", "Reason"), _seen(form, rollout_id)
        return form.do(
            lambda io: io.deployer.client.abort_rollout(seen.model, version=seen.to_version, reason=reason),
            done=f"The rollout of version {seen.to_version} is being aborted.",
            then=links.rollout(rollout_id),
        )

    @app.post("/rollouts/{rollout_id}/rollback", response_class=HTMLResponse)
    def roll_back(
        rollout_id: str, form: Annotated[Form, Depends(console.form("roll-back", "rollout", over="any-workspace"))]
    ) -> Response:
        """Put the version before this rollout back."""
        reason, seen = form.required("reason", "Reason"), _seen(form, rollout_id)
        return _started(
            form,
            lambda io: io.deployer.client.roll_back(
                seen.model, version=seen.from_version, reason=reason, wait_s=WAIT_S
            ),
            f"Version {seen.from_version} is being put back.",
        )


def _seen(form: Form, rollout_id: str) -> RolloutRun:
    return form.view.io.deployer(lambda deployer: deployer.rollout(rollout_id)).needed()


def _started(form: Form, call: Any, done: str) -> Response:
    """Call the deployer and show the rollout that came of it."""
    try:
        rollout: RolloutRun = call(form.view.io)
    except ApiError as error:
        return form.refused(explained(error), error.status or 503)
    return with_flash(RedirectResponse(links.rollout(rollout.rollout_id), 303), done)


def _add_starting(app: FastAPI, console: Console) -> None:
    @app.get("/rollouts/new", response_class=HTMLResponse)
    def new(
        view: Annotated[View, Depends(console.view("start", "rollout"))],
        model: Annotated[str, Query(max_length=200)] = "",
        version: Annotated[str, Query(max_length=10)] = "",
    ) -> Response:
        """Choose an approved version, then how it gets traffic."""
        return _form_page(view, Draft(model.strip(), version))

    @app.post("/rollouts/new", response_class=HTMLResponse)
    def start(form: Annotated[Form, Depends(console.form("start", "rollout", over="any-workspace"))]) -> Response:
        """Start a rollout; errors are shown in the form."""
        draft = Draft(*(form.text(name) for name in ("model", "version", "strategy", "reason")))
        if problems := _problems(draft):
            return _form_page(form.view, draft, problems, 422)
        try:
            rollout = form.view.io.deployer.client.start_rollout(
                draft.model, int(draft.version), reason=draft.reason, strategy=STRATEGY[draft.strategy]
            )
        except ApiError as error:
            problem = explained(error)
            named = problem["field"] if problem["field"] in ("version", "strategy", "reason") else ""
            return _form_page(form.view, draft, {named: problem["detail"]}, error.status or 503)
        done = f"The rollout of version {rollout.to_version} of {rollout.model} is requested."
        return with_flash(RedirectResponse(links.rollout(rollout.rollout_id), 303), done)


def _problems(draft: Draft) -> dict[str, str]:
    found = {}
    if not draft.version.isdecimal():
        found["version"] = "choose a version"
    if not draft.reason:
        found["reason"] = "write why; it is kept with the rollout"
    if draft.strategy not in STRATEGY:
        found["strategy"] = "choose canary, full or the policy"
    return found


def _form_page(view: View, draft: Draft, problems: Mapping[str, str] | None = None, status: int = 200) -> Response:
    io: Services = view.io
    context: dict[str, Any] = {"draft": draft, "problems": problems or {}, "strategies": STRATEGIES}
    if not draft.model:
        approved = io.registry(lambda registry: registry.versions_at(VersionStage.APPROVED, limit=PAGE))
        return view.page("rollout_new.html", status, approved=approved.part, **context)
    versions = io.registry(lambda registry: registry.versions(draft.model))
    policy = io.registry(lambda registry: registry.policy(draft.model, "rollout"))
    unfinished = io.deployer(lambda deployer: deployer.rollouts(draft.model, unfinished=True, limit=1))
    choices = _choices(versions.needed())
    return view.page(
        "rollout_new.html",
        status,
        choices=choices,
        policy=policy.part,
        unfinished=unfinished.part,
        **context,
    )


def _choices(versions: tuple[VersionInfo, ...]) -> list[tuple[int, str]]:
    """Versions that may be rolled out, newest first, with stage and aliases."""
    return [
        (one.version, f"v{one.version}, {one.stage.value}" + (f" ({', '.join(one.aliases)})" if one.aliases else ""))
        for one in reversed(versions)
        if one.stage in ROLLS_OUT
    ]
