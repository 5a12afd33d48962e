"""`/models-register`: register a model that was made elsewhere: upload, what was understood, live progress."""

from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from modelyard import ApiError, RegistryClient
from modelyard_console.domain import links
from modelyard_console.domain.names import name_problem
from modelyard_console.domain.own_models import LABELS, TASKS, WrongFields, kept, problem_field, problem_words
from modelyard_console.domain.prospects import prospects
from modelyard_console.domain.uploads import KINDS
from modelyard_console.pages.registering import elsewhere, progress_page, start
from modelyard_console.pages.view import MAX_FILES, Console, Form, View
from modelyard_console.store.folders import Sent
from modelyard_console.store.model_uploads import ModelUpload
from modelyard_contracts.admission import ScanReport, ScanVerdict
from modelyard_contracts.policies import GatePolicy
from modelyard_own import Base, Plan, UnfitModel, find_base
from modelyard_own.work import Answer
from modelyard_runtime.errors import Invalid

PASSING: Final = frozenset({ScanVerdict.SAFE_FORMAT, ScanVerdict.ALLOW_LISTED})
SHOWN_COLUMNS: Final = 200
SHOWN_FINDINGS: Final = 100
FIRST_ROWS: Final = 5
Errors = Mapping[str, str]


def add_models_register(app: FastAPI, console: Console) -> None:
    _add_start(app, console)
    _add_files(app, console)
    _add_progress(app, console)


def _add_start(app: FastAPI, console: Console) -> None:
    @app.get(links.REGISTER_MODEL, response_class=HTMLResponse)
    def new_model(
        view: Annotated[View, Depends(console.view("register", "model"))],
        model: Annotated[str, Query(max_length=192)] = "",
    ) -> Response:
        """Ask for the files of a model and a sample."""
        return _start_page(view, {"model": model}, {})

    @app.post(links.MODEL_UPLOAD, response_class=HTMLResponse)
    def upload(form: Annotated[Form, Depends(console.form("register", "model", "any-workspace"))]) -> Response:
        """Store the files, or replace those of an upload; the next page shows how they are understood."""
        if "upload_id" in form.values:
            return _replaced(console, form)
        try:
            added = _stored(console, form)
        except Invalid as error:
            return _start_page(form.view, form.values, {error.field or "": str(error)}, 422)
        return RedirectResponse(links.model_upload(added.id), 303)


def _start_page(view: View, values: Mapping[str, str], errors: Errors, status: int = 200) -> Response:
    models = view.io.registry(lambda registry: registry.search_models(sort="newest", limit=200))
    return view.page(
        "models_register.html",
        status,
        models=models.part,
        values=values,
        errors=errors,
        max_bytes=view.console.max_model_upload_bytes,
        max_files=MAX_FILES,
        may_allow_code=view.may("allow-code", "model"),
    )


def _stored(console: Console, form: Form) -> ModelUpload:
    if problem := name_problem(form.text("model")):
        raise Invalid(problem, field="model")
    files, sample = _model_and_sample(form)
    if not files:
        raise Invalid("Files: choose the file or the folder of a model", field="files")
    return console.models.add(files, sample, form.view.me.identity, form.text("model"), kept(form.values))


def _replaced(console: Console, form: Form) -> Response:
    """Replace the files that were sent, unless the registration has started; the others and all fields stay."""
    upload = console.models.find(form.text("upload_id"), form.view.me.identity)
    if page := elsewhere(console, upload):
        return RedirectResponse(page, 303)
    try:
        upload = console.models.replace(upload, *_model_and_sample(form))
    except Invalid as error:
        return _files_page(form.view, upload, {error.field or "": str(error)}, 422)
    return RedirectResponse(links.model_upload(upload.id), 303)


def _model_and_sample(form: Form) -> tuple[list[Sent], Sent | None]:
    files, folder, sample = (_sent(form, name) for name in ("files", "folder", "sample"))
    if files and folder:
        raise Invalid("Files: choose files or a folder, not both", field="files")
    return files or folder, sample[0] if sample else None


def _sent(form: Form, field: str) -> list[Sent]:
    """Name and content of the files of a field; a field without a file sends one without a name."""
    return [(file.filename, file.file) for name, file in form.several if name == field and file.filename]


def _add_files(app: FastAPI, console: Console) -> None:
    @app.get("/models-register/files/{upload_id}", response_class=HTMLResponse)
    def preview(upload_id: str, view: Annotated[View, Depends(console.view("register", "model"))]) -> Response:
        """Show how an uploaded model is understood, with what can be corrected."""
        upload = console.models.find(upload_id, view.me.identity)
        if page := elsewhere(console, upload):
            return RedirectResponse(page, 303)
        return _files_page(view, upload)

    @app.post("/models-register/files/{upload_id}", response_class=HTMLResponse)
    def correct(
        upload_id: str, form: Annotated[Form, Depends(console.form("register", "model", "any-workspace"))]
    ) -> Response:
        """Keep corrections and read the model again."""
        upload = _corrected(console, console.models.find(upload_id, form.view.me.identity), form)
        return RedirectResponse(links.model_upload(upload.id), 303)

    @app.post("/models-register/files/{upload_id}/start", response_class=HTMLResponse)
    def begin(
        upload_id: str, form: Annotated[Form, Depends(console.form("register", "model", "any-workspace"))]
    ) -> Response:
        """Start the registration."""
        upload = console.models.find(upload_id, form.view.me.identity)
        if page := elsewhere(console, upload):
            return RedirectResponse(page, 303)
        upload = _corrected(console, upload, form)
        if problem := name_problem(upload.model) if upload.model else "Model: fill in this field":
            return _files_page(form.view, upload, {"model": problem}, 422)
        try:
            plan, report = _understood(form.view, upload)
        except WrongFields as error:
            return _files_page(form.view, upload, error.errors, 422)
        if plan is None or not _accepted(report, plan):
            return _files_page(form.view, upload, None, 422)
        start(form.view, upload, plan)
        return RedirectResponse(links.registration(upload.id), 303)


def _corrected(console: Console, upload: ModelUpload, form: Form) -> ModelUpload:
    """The upload with the fields of the form, unless its registration has started."""
    if elsewhere(console, upload):
        return upload
    upload = upload.model_copy(update={"model": form.text("model"), "values": kept(form.values)})
    console.models.save(upload)
    return upload


def _accepted(report: ScanReport, plan: Plan) -> bool:
    """Whether the registry's scan may accept the files."""
    return report.verdict in PASSING or (report.verdict is ScanVerdict.SUSPICIOUS and plan.permissions.code)


def _understood(view: View, upload: ModelUpload) -> tuple[Plan | None, ScanReport]:
    """The plan with the files of the upload, and the scan of its files. WrongFields for facts that cannot be used."""
    answer = _read(view, upload)
    return answer.ready(view.console.models.folder(upload)), _scanned(view.console, upload, answer)


def _read(view: View, upload: ModelUpload) -> Answer:
    """The reading of the model, once for the same fields; again if its base was not found, which may be by now."""
    console = view.console
    answer = console.models.answer(upload)
    if answer is None:
        base, problem = _base(view, upload)
        folder = console.models.folder(upload)
        answer = console.model_reader.read(
            folder, upload.name, upload.sample, upload.values, base=base, origin=upload.origin
        )
        if problem:
            return answer.model_copy(update={"plan": None, "problem": problem})
        console.models.keep_answer(upload, answer)
    return answer


def _base(view: View, upload: ModelUpload) -> tuple[Base | None, str]:
    """The version that an adapter was trained on, as the person may read it; or the problem."""
    named = upload.values.get("base")
    if not named:
        return None, ""
    client = view.console.platform.client("registry", RegistryClient, view.session.api_key)
    try:
        return find_base(client, named), ""
    except (UnfitModel, ApiError) as error:
        return None, str(error)


def _scanned(console: Console, upload: ModelUpload, answer: Answer) -> ScanReport:
    """The scan of the files, once."""
    report = console.models.scan(upload)
    if report is None:
        report = console.model_reader.scan(console.models.folder(upload) / (answer.model or f"files/{upload.name}"))
        console.models.keep_scan(upload, report)
    return report


def _files_page(view: View, upload: ModelUpload, errors: Errors | None = None, status: int = 200) -> Response:
    found = dict(errors or {})
    if problem := name_problem(upload.model):
        found.setdefault("model", problem)
    answer = Answer()
    try:
        answer = _read(view, upload)
    except WrongFields as error:
        found = {**error.errors, **found}
    if answer.problem:
        found.setdefault(problem_field(answer.problem), problem_words(answer.problem))
    report, plan = _scanned(view.console, upload, answer), answer.plan
    return view.page(
        "models_register_files.html",
        status,
        upload=upload,
        values=upload.values,
        plan=plan,
        header=answer.header,
        report=report,
        findings=list(islice(report.findings, SHOWN_FINDINGS)),
        accepted=plan is not None and _accepted(report, plan),
        prospects=_prospects(view, upload.model, plan) if plan and upload.model and "model" not in found else "",
        notes=[problem_words(note) for note in plan.notes] if plan else [],
        first_rows=[list(row.values()) for row in plan.example.rows[:FIRST_ROWS]] if plan else [],
        errors=found,
        labels=LABELS,
        tasks=TASKS,
        kinds=KINDS,
        shown=SHOWN_COLUMNS,
        keep_h=view.console.models.keep_h,
        may_allow_code=view.may("allow-code", "model"),
    )


def _prospects(view: View, model: str, plan: Plan) -> str:
    """What follows the registration; empty while the registry cannot be asked."""
    known = view.io.registry(lambda registry: registry.model(model))
    gate = view.io.registry(lambda registry: registry.policy(model, "gate"))
    try:
        champion, policy = known.needed().aliases.get("champion"), gate.needed()
    except ApiError as error:
        if error.status != 404:
            return ""
        champion, policy = None, GatePolicy()  # a new model, with the defaults
    return prospects(plan.sample.labels, champion, policy)


def _add_progress(app: FastAPI, console: Console) -> None:
    @app.get("/models-register/files/{upload_id}/progress", response_class=HTMLResponse)
    def progress(upload_id: str, view: Annotated[View, Depends(console.view("register", "model"))]) -> Response:
        """Follow a registration: upload, scan, trial, comparison, stage."""
        upload = console.models.find(upload_id, view.me.identity)
        if console.models.registration(upload) is None:
            return RedirectResponse(links.model_upload(upload_id), 303)
        return progress_page(view, upload)
