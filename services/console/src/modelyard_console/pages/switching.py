"""`/value/reports/{report_id}/switch`: use a policy of a published report for a model, after seeing what changes."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from modelyard import ApiError, PublishedReport
from modelyard.switching import Switch, set_switched, switch_of
from modelyard_console.clients.platform import explained
from modelyard_console.domain import links
from modelyard_console.domain.switching import Asked, policies_of, problems_of, usable, usual_reason
from modelyard_console.pages.view import Console, Form, View
from modelyard_contracts.documents import DocumentError
from modelyard_contracts.durations import duration_text
from modelyard_contracts.sentences import one_line

NOT_FOUND: Final = 404
MODELS: Final = 200
"""Newest models that the field suggests."""
Short = Annotated[str, Query(max_length=256)]
SEEN: Final = "revision-"
"""Before the kind of a policy: the field with the revision that the person saw."""


def add_switching(app: FastAPI, console: Console) -> None:
    @app.get("/value/reports/{report_id}/switch", response_class=HTMLResponse)
    def see(
        report_id: str,
        view: Annotated[View, Depends(console.view("set-policy", "policy"))],
        policy: Short = "",
        model: Short = "",
        row_interval: Annotated[str, Query(max_length=40)] = "",
    ) -> Response:
        """Ask for the model; then show what would change, field by field."""
        asked = Asked(policy, model.strip(), row_interval.strip())
        report = _report(view, report_id)
        switch, problems = _switch(view, report, asked) if asked.model else (None, {})
        return _page(view, report, asked, switch, problems)

    @app.post("/value/reports/{report_id}/switch", response_class=HTMLResponse)
    def use(
        report_id: str, form: Annotated[Form, Depends(console.form("set-policy", "policy", "any-workspace"))]
    ) -> Response:
        """Set what changes, unless another person changed a policy since it was shown."""
        view, report = form.view, _report(form.view, report_id)
        asked = Asked(form.values.get("policy", ""), *map(form.text, ("model", "row_interval", "reason")))
        switch, problems = _switch(view, report, asked)
        if switch is None:
            return _page(view, report, asked, None, problems, 422)
        if stale := [one.kind for one in switch.changed if form.text(SEEN + one.kind) != str(one.revision)]:
            problem = f"Another person changed the policy {', '.join(stale)} meanwhile. Look at what changes now."
            return _page(view, report, asked, switch, {"": problem}, 409)
        return _use(form, report, asked, switch)


def _use(form: Form, report: PublishedReport, asked: Asked, switch: Switch) -> Response:
    view = form.view
    reason = asked.reason or usual_reason(asked, report.report)
    try:
        set_switched(view.io.registry.client, switch, one_line(reason))
    except ApiError as error:
        left, problems = _switch(view, report, asked)
        problems = problems or {"": f"{explained(error)['detail']}. What is listed below is not set; the rest is."}
        return _page(view, report, asked, left, problems, error.status or 503)
    kinds = ", ".join(one.kind for one in switch.changed)
    done = f"{asked.model} now works by {asked.policy}; changed: {kinds}." if kinds else "There was nothing to change."
    return form.finish(done, links.policies(asked.model))


def _report(view: View, report_id: str) -> PublishedReport:
    return view.io.evaluator(lambda evaluator: evaluator.loop_report(report_id)).needed()


def _switch(view: View, report: PublishedReport, asked: Asked) -> tuple[Switch | None, Mapping[str, str]]:
    """What would change, or what is wrong: by field, `""` for the whole form."""
    problems = problems_of(asked, report.report)
    if problems or not asked.model:
        return None, problems or {"model": "Model: fill in this field"}
    monitor, now = view.io.monitor.client, view.console.clock()
    try:
        wanted = policies_of(asked, report.report)
        found = view.io.registry(lambda registry: switch_of(registry, monitor, asked.model, wanted, now)).needed()
    except DocumentError as error:
        return None, {"": f"{asked.model} cannot have this policy: {error}"}
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return None, {"model": explained(error)["detail"]}
    return found, {}


def _page(
    view: View,
    report: PublishedReport,
    asked: Asked,
    switch: Switch | None,
    problems: Mapping[str, str],
    status: int = 200,
) -> Response:
    models = view.io.registry(lambda registry: registry.search_models(sort="newest", limit=MODELS))
    then_s = report.report.row_interval_s
    context: dict[str, Any] = {"found": report, "asked": asked, "switch": switch, "problems": problems}
    context |= {"choices": [(way.name, way.title) for way in usable(report.report)], "seen": SEEN}
    context |= {"pace": duration_text(then_s) if then_s else "", "usual": usual_reason(asked, report.report)}
    return view.page("switch.html", status, models=models.part, **context)
