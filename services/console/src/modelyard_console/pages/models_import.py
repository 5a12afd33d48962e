"""`/models-import`: a model of a hub: which repository, what would be downloaded, the download; then as an upload."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from modelyard import ApiError
from modelyard_console.domain import links
from modelyard_console.domain.imports import DownloadState, Listing, asked, patterns, problem_field, problem_words
from modelyard_console.domain.names import name_problem
from modelyard_console.domain.own_models import TASKS, kept
from modelyard_console.pages.importing import cancel, check_room, current, start
from modelyard_console.pages.view import Console, Form, View
from modelyard_console.store.model_uploads import ModelUpload
from modelyard_own import UnfitModel
from modelyard_own.hubs import SITES, HubName
from modelyard_runtime.errors import Invalid, NotFound

SHOWN_FILES: Final = 200
MAX_REVISION_CHARACTERS: Final = 200
REPOSITORY: Final = f"{links.IMPORT_MODEL}/repositories/{{import_id}}"
Errors = Mapping[str, str]
Text = Annotated[str, Query(max_length=5_000)]


def add_models_import(app: FastAPI, console: Console) -> None:
    _add_start(app, console)
    _add_repository(app, console)


def _add_start(app: FastAPI, console: Console) -> None:
    @app.get(links.IMPORT_MODEL, response_class=HTMLResponse)
    def new_import(
        view: Annotated[View, Depends(console.view("register", "model"))],
        model: Text = "",
        hub: Text = "",
        repo: Text = "",
        revision: Text = "",
        include: Text = "",
        exclude: Text = "",
        task: Text = "",
        base: Text = "",
    ) -> Response:
        """Ask for a repository; the parameters fill the form."""
        given = {"hub": hub, "repo": repo, "revision": revision, "include": include, "exclude": exclude}
        return _start_page(view, {**given, "model": model, "task": task, "base": base}, {})

    @app.post(links.IMPORT_LISTING, response_class=HTMLResponse)
    def listing(form: Annotated[Form, Depends(console.form("register", "model", "any-workspace"))]) -> Response:
        """List the repository at its commit; the next page shows what would be downloaded."""
        if not console.hubs.offered:
            return _start_page(form.view, form.values, {}, 422)
        try:
            added = _listed(console, form)
        except Invalid as error:
            return _start_page(form.view, form.values, {error.field or "": str(error)}, 422)
        return RedirectResponse(links.model_import(added.id), 303)


def _start_page(view: View, values: Mapping[str, str], errors: Errors, status: int = 200) -> Response:
    hubs = view.console.hubs
    offered = [(str(name), f"{SITES[name].title} ({endpoint})") for name, endpoint in hubs.offered.items()]
    models = view.io.registry(lambda registry: registry.search_models(sort="newest", limit=200))
    return view.page(
        "models_import.html",
        status,
        models=models.part,
        values=values,
        errors=errors,
        hubs=offered,
        sites=SITES,
        enabled=hubs.enabled,
        tasks=TASKS,
        max_bytes=hubs.max_bytes,
    )


def _listed(console: Console, form: Form) -> ModelUpload:
    """The stored import. Invalid names the field."""
    model = form.required("model", "Model")
    if problem := name_problem(model):
        raise Invalid(problem, field="model")
    if not form.view.may("register", "model", model):
        raise Invalid(f"Model: your key may not register versions of {model}", field="model")
    hub = _hub(console, form)
    try:
        include, exclude = (_patterns(form, name, label) for name, label in _PATTERNS)
        found = console.hubs.listing(hub, form.required("repo", "Repository"), _revision(form), include, exclude)
    except UnfitModel as error:
        raise Invalid(problem_words(str(error)), field=problem_field(str(error))) from error
    except ApiError as error:
        text = problem_words(f"{error.title}: {error.detail}", console.hubs.token_variable(hub))
        raise Invalid(text, field="repo") from error
    file = form.files.get("sample")
    sample = (file.filename, file.file) if file is not None and file.filename else None
    found = found.model_copy(update={"asked": asked(form.values)})
    return console.models.add_import(found, sample, form.view.me.identity, model, kept(form.values))


_PATTERNS: Final = (("include", "Also take"), ("exclude", "Leave out"))


def _patterns(form: Form, name: str, label: str) -> tuple[str, ...]:
    try:
        return patterns(form.text(name))
    except ValueError as error:
        raise Invalid(f"{label}: {error}", field=name) from error


def _hub(console: Console, form: Form) -> HubName:
    offered = {str(name): name for name in console.hubs.offered}
    if form.text("hub") not in offered:
        raise Invalid("Hub: choose one of the list", field="hub")
    return offered[form.text("hub")]


def _revision(form: Form) -> str:
    revision = form.text("revision")
    if len(revision) > MAX_REVISION_CHARACTERS or not revision.isprintable():
        raise Invalid("Revision: write a branch, a tag or a commit", field="revision")
    return revision


def _add_repository(app: FastAPI, console: Console) -> None:
    registers = Depends(console.form("register", "model", "any-workspace"))

    @app.get(REPOSITORY, response_class=HTMLResponse)
    def repository(import_id: str, view: Annotated[View, Depends(console.view("register", "model"))]) -> Response:
        """Show what would be downloaded, or how far the download is."""
        return _repository_page(view, *_found(view, import_id))

    @app.post(f"{REPOSITORY}/start", response_class=HTMLResponse)
    def begin(import_id: str, form: Annotated[Form, registers]) -> Response:
        """Start the download, or continue it."""
        upload, found = _found(form.view, import_id)
        if current(console, upload).state is DownloadState.COMPLETE:
            return RedirectResponse(links.model_upload(upload.id), 303)
        try:
            start(console, upload, found)
        except Invalid as error:
            return _repository_page(form.view, upload, found, str(error), 422)
        return RedirectResponse(links.model_import(upload.id), 303)

    @app.post(f"{REPOSITORY}/cancel", response_class=HTMLResponse)
    def end(import_id: str, form: Annotated[Form, registers]) -> Response:
        """Stop the download; it can be continued."""
        upload, _ = _found(form.view, import_id)
        cancel(console, upload)
        return RedirectResponse(links.model_import(upload.id), 303)

    @app.post(f"{REPOSITORY}/discard", response_class=HTMLResponse)
    def discard(import_id: str, form: Annotated[Form, registers]) -> Response:
        """Delete what was downloaded, unless it is in use."""
        upload, _ = _found(form.view, import_id)
        if not console.imports.running(upload.id) and not console.jobs.running(upload.id):
            console.models.remove(upload)
        return RedirectResponse(links.IMPORT_MODEL, 303)


def _found(view: View, import_id: str) -> tuple[ModelUpload, Listing]:
    """The import of this person; NotFound if there is none."""
    upload = view.console.models.find(import_id, view.me.identity)
    found = view.console.models.listing(upload)
    if found is None:
        raise NotFound("this upload is no import; open Models, Import from a hub")
    return upload, found


def _repository_page(view: View, upload: ModelUpload, found: Listing, problem: str = "", status: int = 200) -> Response:
    download = current(view.console, upload)
    if not problem and download.state is DownloadState.LISTED:
        problem = _room_problem(view.console, upload, found)
    shown: dict[str, Any] = {"taken": found.choice.taken[:SHOWN_FILES], "left_out": found.choice.left_out[:SHOWN_FILES]}
    return view.page(
        "models_import_repository.html",
        status,
        upload=upload,
        listing=found,
        origin=found.snapshot.origin,
        download=download,
        problem=problem,
        token_variable=view.console.hubs.token_variable(found.hub),
        keep_h=view.console.models.keep_h,
        **shown,
    )


def _room_problem(console: Console, upload: ModelUpload, found: Listing) -> str:
    try:
        check_room(console, upload, found)
    except Invalid as error:
        return str(error)
    return ""
