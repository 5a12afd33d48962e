"""`/models`: the catalogue, and everything about one model."""

from typing import Annotated, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from modelyard import AlertPage, PublishedRoute, TrafficOverTime
from modelyard.records import ModelPage
from modelyard_console.clients.platform import Part
from modelyard_console.domain import links
from modelyard_console.domain.catalogue import CODES, FACETS, Search, problems_of
from modelyard_console.domain.examples import predict_command
from modelyard_console.domain.model_actions import can_roll_back, no_rows_to_learn_from
from modelyard_console.domain.traffic import quality_chart, requests_chart, versions_now
from modelyard_console.pages.trying import inputs_of
from modelyard_console.pages.view import Console, Form, View
from modelyard_console.pages.windows import SHORT, length_of

PAGE: Final = 50
BUCKETS: Final = 60
"""Points of a chart."""


def add_models(app: FastAPI, console: Console) -> None:
    _add_catalogue(app, console)
    _add_model(app, console)
    _add_actions(app, console)


def _add_catalogue(app: FastAPI, console: Console) -> None:
    @app.get("/models", response_class=HTMLResponse)
    def catalogue(
        view: Annotated[View, Depends(console.view("read", "model"))], asked: Annotated[Search, Query()]
    ) -> Response:
        """List models: search, facets, keyset pages."""
        page = view.io.registry(lambda registry: registry.search_models(**asked.parameters, limit=PAGE))
        facets = view.io.registry(lambda registry: registry.model_facets(asked.q or None))
        names = [one.name for one in page.part.found.items] if page.part.found else []
        traffic = view.io.monitor(lambda monitor: monitor.traffic(models=names)) if names else None
        served = {one.model: one for one in traffic.part.or_else(())} if traffic else {}
        context = {"asked": asked, "page": page.part, "facets": facets.part, "served": served}
        context |= {"names": FACETS, "codes": CODES, "metric_problem": _metric_problem(view, asked, page.part)}
        return view.page("models.html", **context)

    @app.get(links.PROBLEMS, response_class=HTMLResponse)
    def problems(
        view: Annotated[View, Depends(console.view("read", "model"))],
        after: Annotated[str, Query(max_length=200)] = "",
    ) -> Response:
        """List models without owner or card, without traffic, and duplicates, with what to do about each."""
        page = view.io.registry(lambda registry: registry.catalogue_problems_page(after=after or None, limit=PAGE))
        return view.page("models_problems.html", page=page.part, problems_of=problems_of)


def _metric_problem(view: View, asked: Search, page: Part[ModelPage]) -> str:
    """What is wrong with the bound on a metric. A metric is looked up only when nothing fits."""
    if asked.metric_problem or not asked.metric or page.found is None or page.found.items:
        return asked.metric_problem
    known = view.io.registry(lambda registry: registry.search_models(**asked.has_metric)).part
    return "" if known.found is None or known.found.items else asked.unknown_metric


def _add_model(app: FastAPI, console: Console) -> None:
    @app.get("/models/{model}", response_class=HTMLResponse)
    def one_model(
        model: str,
        view: Annotated[View, Depends(console.view("read", "model", over="resource"))],
        window: Annotated[str, Query(max_length=8)] = "1h",
    ) -> Response:
        """Show a model: versions with traffic, aliases, charts, what runs and what went wrong."""
        io, span = view.io, length_of(window)
        since = console.clock() - span
        bucket_s = int(span.total_seconds() / BUCKETS)
        found = io.registry(lambda registry: registry.model(model))
        versions = io.registry(lambda registry: registry.versions(model))
        aliases = io.registry(lambda registry: registry.aliases(model))
        traffic = io.monitor(lambda monitor: monitor.traffic_over_time(model, since=since, bucket_s=bucket_s))
        rejected = io.monitor(lambda monitor: monitor.rejected_labels(model, since=since))
        alerts = io.monitor(lambda monitor: monitor.alerts(model, limit=20))
        rollouts = io.deployer(lambda deployer: deployer.rollouts(model, limit=20))
        runs = io.trainer(lambda trainer: trainer.runs(model, limit=100))
        votes = io.deployer(lambda deployer: deployer.votes(model))
        published = io.deployer(lambda deployer: deployer.route(model))
        info = found.needed()
        over_time = traffic.part.or_else(TrafficOverTime(model=model, bucket_s=bucket_s, items=()))
        known, moves = versions.part.or_else(()), rollouts.part.or_else(())
        answers = published.part.found if published.part.found and published.part.found.plan else None
        marks = moves, alerts.part.or_else(AlertPage(items=())).items
        return view.page(
            "model.html",
            model=info,
            window=window,
            windows=SHORT,
            versions=versions.part,
            aliases=aliases.part,
            traffic=traffic.part,
            served=versions_now(over_time),
            requests_chart=requests_chart(over_time),
            quality_chart=quality_chart(over_time, *marks),
            rejected=rejected.part.found,
            alerts=alerts.part,
            rollouts=rollouts.part,
            runs=runs.part,
            votes=votes.part,
            answers=answers,
            command=_command(view, answers) if answers and not over_time.items else "",
            may_roll_back=bool(versions.part.away) or can_roll_back(info.aliases.get("champion"), known, moves),
            no_rows=bool(traffic.part.found) and no_rows_to_learn_from(known, over_time),
        )

    @app.get("/models/{model}/history", response_class=HTMLResponse)
    def history(
        model: str,
        view: Annotated[View, Depends(console.view("read", "model", over="resource"))],
        after: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Show every change of a model, newest first."""
        found = view.io.registry(lambda registry: registry.model(model))
        page = view.io.registry(lambda registry: registry.audit(model=model, after=after, limit=PAGE))
        return view.page("model_history.html", model=found.needed(), page=page.part)


def _command(view: View, route: PublishedRoute) -> str:
    """A request with typical values; empty if the inputs are not known."""
    fields, _ = inputs_of(view, route)
    return predict_command(route.route, fields) if fields else ""


def _add_actions(app: FastAPI, console: Console) -> None:
    @app.post("/models/{model}/retrain", response_class=HTMLResponse)
    def retrain(model: str, form: Annotated[Form, Depends(console.form("start", "run"))]) -> Response:
        """Start a training run on recent labelled rows."""
        reason = form.required("reason", "Reason")
        return form.do(
            lambda io: io.trainer.client.start_run(model, reason=reason),
            done=f"A training run of {model} was requested.",
            then=links.model(model),
        )

    @app.post("/models/{model}/owner", response_class=HTMLResponse)
    def set_owner(model: str, form: Annotated[Form, Depends(console.form("update", "model"))]) -> Response:
        """Name another owner, unless another person did since the page was opened."""
        owner, reason = form.required("owner", "Owner"), form.required("reason", "Reason")
        expected = form.text("expected_owner")
        return form.do(
            lambda io: io.registry.client.set_owner(model, owner, expected_owner=expected, reason=reason),
            done=f"The owner of {model} is now {owner}.",
            then=form.text("back") or links.model(model),
        )

    @app.post("/models/{model}/rollback", response_class=HTMLResponse)
    def roll_back(model: str, form: Annotated[Form, Depends(console.form("roll-back", "rollout"))]) -> Response:
        """Put the version that served before back."""
        reason = form.required("reason", "Reason")
        return form.do(
            lambda io: io.deployer.client.roll_back(model, reason=reason),
            done=f"{model} was rolled back.",
            then=links.model(model),
        )
