"""`/models-sync`: registries of other products: their models, what differs on both sides, and taking it over."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from modelyard import ApiError, RegistryClient
from modelyard_console.clients.platform import SERVICE
from modelyard_console.clients.sources import Source, SourceProblem
from modelyard_console.domain import links
from modelyard_console.domain.names import name_problem
from modelyard_console.domain.own_models import TASKS, WrongFields, description_of, kept
from modelyard_console.domain.syncs import MEANINGS, RunState, choices, chosen, shown_value, sync_words
from modelyard_console.pages.syncing import cancel, current, start
from modelyard_console.pages.view import Console, Form, View
from modelyard_console.store.sync_runs import SyncRun
from modelyard_runtime.errors import Invalid, NotFound

SHOWN_DIFFERENCES: Final = 500
Errors = Mapping[str, str]
Name = Annotated[str, Query(max_length=500)]


def add_models_sync(app: FastAPI, console: Console) -> None:
    _add_sources(app, console)
    _add_model(app, console)
    _add_runs(app, console)


def _add_sources(app: FastAPI, console: Console) -> None:
    @app.get(links.SYNC, response_class=HTMLResponse)
    def sources(view: Annotated[View, Depends(console.view("register", "model"))]) -> Response:
        """List the configured registries, and the runs of this person. Calls none of them."""
        runs = [(run, current(console, run), _title(console, run)) for run in console.syncs.of(view.me.identity)]
        return view.page("models_sync.html", sources=console.sources.offered.values(), runs=runs)

    @app.get(links.SYNC_SOURCE, response_class=HTMLResponse)
    def models(
        view: Annotated[View, Depends(console.view("register", "model"))], source: Name = "", name: Name = ""
    ) -> Response:
        """List the models of a registry."""
        found = _source(console, source)
        try:
            listed, more = console.sources.models(found, name.strip())
            problem = ""
        except SourceProblem as error:
            listed, more, problem = [], False, sync_words(str(error))
        context = {"source": found, "listed": listed, "more": more, "problem": problem, "name": name}
        return view.page("models_sync_source.html", 502 if problem else 200, **context)


def _source(console: Console, id_: str) -> Source:
    """The registry of this id; NotFound if the settings have none."""
    if id_ not in console.sources.offered:
        raise NotFound("the settings of the console have no such registry; open Models, Sync")
    return console.sources.offered[id_]


def _title(console: Console, run: SyncRun) -> str:
    source = console.sources.offered.get(run.source)
    return source.title if source else f"{run.source}, which the settings do not have any more"


def _add_model(app: FastAPI, console: Console) -> None:
    @app.get(links.SYNC_MODEL, response_class=HTMLResponse)
    def differences(
        view: Annotated[View, Depends(console.view("register", "model"))],
        source: Name = "",
        there: Name = "",
        model: Name = "",
    ) -> Response:
        """Show what differs between a model there and here."""
        values = {"there": there, "model": model.strip() or ("" if name_problem(there) else there)}
        return _model_page(view, _source(console, source), values, {})

    @app.post(links.SYNC_START, response_class=HTMLResponse)
    def begin(form: Annotated[Form, Depends(console.form("register", "model", "any-workspace"))]) -> Response:
        """Start to take over what was chosen."""
        source = _source(console, form.text("source"))
        try:
            run = _added(console, form, source)
            start(form.view, run, source)
        except Invalid as error:
            return _model_page(form.view, source, form.values, {error.field or "": str(error)}, 422)
        except WrongFields as error:
            return _model_page(form.view, source, form.values, error.errors, 422)
        return RedirectResponse(links.sync_run(run.id), 303)


def _model_page(view: View, source: Source, values: Mapping[str, str], errors: Errors, status: int = 200) -> Response:
    there, model = values["there"], values["model"]
    problem, found = "", None
    wrong = name_problem(model)
    if model and not wrong:
        client = view.console.platform.client("registry", RegistryClient, view.session.api_key)
        try:
            found = view.console.sources.compared(source, there, client, model)
            problem = "" if found is not None else f"{source.title} has no model {there}"
        except SourceProblem as error:
            problem = sync_words(str(error))
        except ApiError as error:
            error.body.setdefault(SERVICE, "registry")
            raise
    return view.page(
        "models_sync_model.html",
        502 if problem and status == 200 else status,
        source=source,
        there=there,
        model=model,
        values=values,
        errors={**({"model": wrong} if wrong else {}), **errors},
        problem=problem,
        compared=found is not None,
        choices=choices(found or ()),
        differences=(found or [])[:SHOWN_DIFFERENCES],
        count=len(found or ()),
        meanings=MEANINGS,
        shown_value=shown_value,
        tasks=TASKS,
    )


def _added(console: Console, form: Form, source: Source) -> SyncRun:
    """The stored run. Invalid and WrongFields name the field."""
    there, model = form.required("there", "Model there"), form.required("model", "Model")
    if problem := name_problem(model):
        raise Invalid(problem, field="model")
    if not form.view.may("register", "model", model):
        raise Invalid(f"Model: your key may not register versions of {model}", field="model")
    only = chosen(form.values)
    if not only:
        raise Invalid("Take over: choose at least one version", field="take")
    values = kept(form.values)
    description_of(values)
    file = form.files.get("sample")
    sample = (file.filename, file.file) if file is not None and file.filename else None
    return console.syncs.add(form.view.me.identity, (source.id, there, model), only, sample, values)


def _add_runs(app: FastAPI, console: Console) -> None:
    registers = Depends(console.form("register", "model", "any-workspace"))

    @app.get(f"{links.SYNC}/runs/{{run_id}}", response_class=HTMLResponse)
    def one_run(run_id: str, view: Annotated[View, Depends(console.view("register", "model"))]) -> Response:
        """Show how far a run is."""
        return _run_page(view, console.syncs.find(run_id, view.me.identity))

    @app.post(f"{links.SYNC}/runs/{{run_id}}/start", response_class=HTMLResponse)
    def again(run_id: str, form: Annotated[Form, registers]) -> Response:
        """Continue a run."""
        run = console.syncs.find(run_id, form.view.me.identity)
        if current(console, run).state is not RunState.COMPLETE:
            try:
                start(form.view, run, _source(console, run.source))
            except Invalid as error:
                return _run_page(form.view, run, str(error), 422)
        return RedirectResponse(links.sync_run(run.id), 303)

    @app.post(f"{links.SYNC}/runs/{{run_id}}/cancel", response_class=HTMLResponse)
    def end(run_id: str, form: Annotated[Form, registers]) -> Response:
        """Stop a run; it can be continued."""
        run = console.syncs.find(run_id, form.view.me.identity)
        cancel(console, run)
        return RedirectResponse(links.sync_run(run.id), 303)


def _run_page(view: View, run: SyncRun, problem: str = "", status: int = 200) -> Response:
    title, progress = _title(view.console, run), current(view.console, run)
    context = {"run": run, "progress": progress, "title": title, "problem": problem}
    return view.page("models_sync_run.html", status, **context)
