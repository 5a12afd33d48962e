"""`/approvals`: versions that wait for a person, with the evidence beside the buttons, and what was decided."""

from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from modelyard import ApiError
from modelyard_console.clients.platform import Pending, explained
from modelyard_console.domain import links
from modelyard_console.domain.approvals import decided, decisions, last_move, waiting, without_verdict
from modelyard_console.domain.comparison import scale_of
from modelyard_console.domain.evaluations import ends_of
from modelyard_console.pages.view import Console, Form, View
from modelyard_contracts import VersionStage

PAGE: Final = 50
EVIDENCE: Final = 300
"""Newest evaluations, runs and rollouts of the versions that are shown: each may have several."""
PAST: Final = {"approve": "approved", "reject": "rejected"}
TAKEN: Final = ("stale_stage", "illegal_move")
"""Codes of refusals because the version has moved meanwhile."""


def add_approvals(app: FastAPI, console: Console) -> None:
    @app.get("/approvals", response_class=HTMLResponse)
    def approvals(
        view: Annotated[View, Depends(console.view("read", "model"))],
        after: Annotated[str | None, Query(max_length=400)] = None,
    ) -> Response:
        """Show versions that wait for a person, and the newest decisions."""
        return view.page("approvals.html", **_inbox(view, after))

    for decision in PAST:
        _add_decision(app, console, decision)


def _inbox(view: View, after: str | None) -> dict[str, Any]:
    io = view.io
    staged = io.registry(lambda registry: registry.versions_at(VersionStage.EVALUATED, limit=PAGE, after=after))
    unsure = io.registry(lambda registry: registry.versions_at(VersionStage.REGISTERED, limit=PAGE))
    models = [
        io.registry(lambda registry: registry.search_models(stage=VersionStage.EVALUATED, limit=500)),
        io.registry(lambda registry: registry.search_models(stage=VersionStage.REGISTERED, limit=500)),
    ]
    moves = io.registry(lambda registry: registry.audit(action="version_moved", limit=200))
    pages = staged.part.found, unsure.part.found
    shown = [(one.model, one.version) for page in pages if page for one in page.items]
    evaluations = io.evaluator(lambda one: one.evaluations(versions=shown, limit=EVIDENCE) if shown else ())
    runs = io.trainer(lambda one: one.runs(versions=shown, limit=EVIDENCE) if shown else ())
    entries = decided(moves.part.found.items if moves.part.found else ())[:PAGE]
    moved = [(one.resource, one.version) for one in entries if one.version is not None]
    rollouts = io.deployer(lambda one: one.rollouts(versions=moved, limit=EVIDENCE) if moved else ())
    listed = [model for page in models if page.part.found for model in page.part.found.items]
    evidence = evaluations.part.or_else(()), runs.part.or_else(()), listed
    found = waiting(staged.part.found.items if staged.part.found else (), *evidence)
    open_ = without_verdict(waiting(unsure.part.found.items if unsure.part.found else (), *evidence))
    return {
        "staged": staged.part,
        "waiting": found,
        "without_verdict": open_,
        "scale": scale_of(ends_of([one.evaluation for one in found + open_ if one.evaluation])),
        "moves": moves.part,
        "decided": decisions(entries, rollouts.part.or_else(())),
        "away": _away(evaluations, runs, rollouts),
    }


def _away(*calls: Pending[Any]) -> list[Any]:
    return [call.part for call in calls if call.part.away]


def _add_decision(app: FastAPI, console: Console, decision: str) -> None:
    @app.post(f"/approvals/{{model}}/{{version}}/{decision}", response_class=HTMLResponse, name=f"inbox-{decision}")
    def decide(model: str, version: int, form: Annotated[Form, Depends(console.form(decision, "model"))]) -> Response:
        """Decide about a version at the stage that the person saw."""
        reason = form.required("reason", "Reason")
        seen = VersionStage(form.required("stage", "Stage"))
        try:
            registry = form.view.io.registry.client
            call = registry.approve if decision == "approve" else registry.reject
            call(model, version, reason, expected_stage=seen)
        except ApiError as error:
            if error.code in TAKEN:
                return _taken(form.view, model, version, decision, reason)
            return form.refused(explained(error), error.status or 503)
        return form.finish(f"Version {version} of {model} is {PAST[decision]}.", f"{links.APPROVALS}#decided")


def _taken(view: View, model: str, version: int, decision: str, reason: str) -> Response:
    """Another person was first: show who decided what, and keep what was typed."""
    moves = view.io.registry(lambda registry: registry.audit(model=model, action="version_moved", limit=100))
    info = view.io.registry(lambda registry: registry.version(model, version))
    entry = last_move(moves.part.found.items if moves.part.found else (), version)
    context = {"model": model, "version": version, "verb": decision, "reason": reason}
    return view.page("approval_taken.html", 409, entry=entry, info=info.part, **context)
