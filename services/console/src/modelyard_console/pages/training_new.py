"""`/training/new`: start from an uploaded file, which is shown as it was understood, or from live rows of a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from modelyard import ApiError
from modelyard.datasets import register_file
from modelyard_console.clients.platform import Services, explained
from modelyard_console.domain import links
from modelyard_console.domain.names import name_problem
from modelyard_console.domain.uploads import KINDS, TASKS, chosen, field_of, in_words, metrics_of, shares
from modelyard_console.pages.view import Console, Form, View
from modelyard_console.store.uploads import Upload
from modelyard_contracts.sentences import explain
from modelyard_contracts.signature import Signature
from modelyard_contracts.tables.inference import LEAVE_OUT
from modelyard_contracts.tables.work import Answer, ChosenOptions
from modelyard_runtime.errors import Invalid

TABLE: Final = "table.parquet"
SHOWN_COLUMNS: Final = 200
"""Columns whose kind the form offers to change."""
FIELDS: Final = {"name": "model", "reference": "model", "dataset_digest": "file"}
"""Field of an API to field of the form."""
Errors = Mapping[str, str]


def add_training_new(app: FastAPI, console: Console) -> None:
    _add_start(app, console)
    _add_upload(app, console)
    _add_file(app, console)


def _add_start(app: FastAPI, console: Console) -> None:
    @app.get("/training/new", response_class=HTMLResponse)
    def new_run(
        view: Annotated[View, Depends(console.view("start", "run"))],
        model: Annotated[str, Query(max_length=192)] = "",
    ) -> Response:
        """Ask for a file, or for a model to retrain."""
        return _start_page(view, {"model": model}, {})

    @app.post("/training/retrain", response_class=HTMLResponse)
    def retrain(form: Annotated[Form, Depends(console.form("start", "run", "any-workspace"))]) -> Response:
        """Start a run on the newest labelled rows of a model."""
        try:
            model, reason = form.required("model", "Model"), form.required("reason", "Reason")
            recipe = form.text("recipe") or None
            run = form.view.io.trainer.client.start_run(model, reason=reason, recipe=recipe)
        except Invalid as error:
            return _start_page(form.view, form.values, {error.field or "": str(error)}, 422)
        except ApiError as error:
            return _start_page(form.view, form.values, _errors_of(error), error.status or 503)
        return form.finish(f"The training run of {model} was requested.", links.run(run.run_id))


def _start_page(view: View, values: Mapping[str, str], errors: Errors, status: int = 200) -> Response:
    models = view.io.registry(lambda registry: registry.search_models(sort="newest", limit=200))
    recipes = view.io.trainer(lambda trainer: trainer.recipes())
    return view.page(
        "training_new.html",
        status,
        models=models.part,
        recipes=recipes.part,
        values=values,
        errors=errors,
        max_bytes=view.console.max_upload_bytes,
        max_cells=view.console.reader.max_cells,
    )


def _errors_of(error: ApiError) -> Errors:
    problem = explained(error)
    field = str(problem["field"] or "")
    return {FIELDS.get(field, field): f"{problem['detail']}. {problem['remedy'] or ''}".strip(" .")}


def _add_upload(app: FastAPI, console: Console) -> None:
    @app.post("/training/upload", response_class=HTMLResponse)
    def upload(form: Annotated[Form, Depends(console.form("start", "run", "any-workspace"))]) -> Response:
        """Store a file; the next page shows how it is read."""
        try:
            added = _stored(console, form)
        except Invalid as error:
            return _start_page(form.view, form.values, {error.field or "": str(error)}, 422)
        return RedirectResponse(links.upload(added.id), 303)


def _stored(console: Console, form: Form) -> Upload:
    file = form.files.get("file")
    if file is None or not file.filename:
        raise Invalid("File: choose a CSV or Parquet file", field="file")
    if problem := name_problem(form.text("model")):
        raise Invalid(problem, field="upload-model")
    return console.uploads.add(file.file, file.filename, form.view.me.identity, form.text("model"))


def _add_file(app: FastAPI, console: Console) -> None:
    @app.get("/training/files/{upload_id}", response_class=HTMLResponse)
    def preview(upload_id: str, view: Annotated[View, Depends(console.view("start", "run"))]) -> Response:
        """Show how an uploaded file is understood, with what can be corrected."""
        return _file_page(view, console.uploads.find(upload_id, view.me.identity))

    @app.post("/training/files/{upload_id}", response_class=HTMLResponse)
    def correct(
        upload_id: str, form: Annotated[Form, Depends(console.form("start", "run", "any-workspace"))]
    ) -> Response:
        """Keep corrections and read the file again."""
        upload = console.uploads.find(upload_id, form.view.me.identity)
        upload, errors = _corrected(console, upload, form)
        return _file_page(form.view, upload, errors, 422) if errors else RedirectResponse(links.upload(upload.id), 303)

    @app.post("/training/files/{upload_id}/start", response_class=HTMLResponse)
    def start(
        upload_id: str, form: Annotated[Form, Depends(console.form("start", "run", "any-workspace"))]
    ) -> Response:
        """Register the file as a dataset and start the run."""
        upload = console.uploads.find(upload_id, form.view.me.identity)
        upload, errors = _corrected(console, upload, form)
        if errors:
            return _file_page(form.view, upload, errors, 422)
        try:
            run_id = _start(console, upload, form)
        except _Refused as error:
            return _file_page(form.view, upload, error.errors, 422, error.answer)
        except ApiError as error:
            return _file_page(form.view, upload, _errors_of(error), error.status or 503)
        console.uploads.remove(upload)
        return form.finish(f"The training run of {upload.model} was requested.", links.run(run_id))


def _corrected(console: Console, upload: Upload, form: Form) -> tuple[Upload, Errors]:
    """The upload with the choices of the form, stored for the next page; and the fields that cannot be used."""
    changes: dict[str, Any] = {name: form.text(name) for name in ("model", "recipe", "metric", "reason")}
    changes["new_contract"] = bool(form.text("new_contract"))
    errors = {"model": problem} if (problem := name_problem(changes["model"])) else {}
    try:
        changes["options"] = ChosenOptions.model_validate(chosen(form.values))
    except ValidationError as error:
        found = explain(error)
        errors[found.field.partition(".")[0]] = found.sentence
    upload = upload.model_copy(update=changes)
    console.uploads.save(upload)
    return upload, errors


class _Refused(Exception):
    """The form cannot be sent as it is. answer: the reading that shows why, if it was read again."""

    def __init__(self, errors: Errors, answer: Answer | None = None) -> None:
        super().__init__(str(errors))
        self.errors, self.answer = errors, answer


def _start(console: Console, upload: Upload, form: Form) -> str:
    """Start the run; returns its id. A second click returns the same run."""
    missing = {
        name: f"{label}: fill in this field"
        for name, label, value in (("model", "Model", upload.model), ("reason", "Reason", upload.reason))
        if not value
    }
    if missing:
        raise _Refused(missing)
    io, folder = form.view.io, console.uploads.folder(upload)
    exists, known = _known(io, upload)
    answer = console.reader.read(folder, upload.file, upload.options, known=known, write=TABLE)
    if answer.problem is not None or answer.preview is None:
        raise _Refused({}, answer)
    if answer.preview["doubts"] and not form.text("accept"):
        raise _Refused({"accept": "Read the doubts above, then accept them or correct the file."}, answer)
    if not exists:
        io.registry.client.create_model(upload.model)
    digest = _register(io, upload, folder / TABLE, answer)
    return _request(io, upload, answer.preview, digest)


def _known(io: Services, upload: Upload) -> tuple[bool, Signature | None]:
    """Whether the model exists, and the signature that the file must fit."""
    try:
        found = io.registry.client.kept_signature(upload.model)
    except ApiError as error:
        if error.status == 404:
            return False, None
        raise
    return True, None if upload.new_contract else found


def _register(io: Services, upload: Upload, table: Path, answer: Answer) -> str:
    rows, source = (answer.preview or {})["rows"], {"file": upload.file}
    name = Path(upload.file).stem
    return register_file(io.registry.client, table, name, upload.model, rows, answer.written, source)


def _request(io: Services, upload: Upload, preview: Mapping[str, Any], digest: str) -> str:
    run = io.trainer.client.start_run(
        upload.model,
        dataset_digest=digest,
        recipe=upload.recipe or None,
        task=preview["task"],
        target=preview["target"],
        time=preview["time"],
        columns=preview["columns"],
        parameters={"metric": upload.metric} if upload.metric else None,
        new_contract=upload.new_contract,
        reason=upload.reason,
        idempotency_key=f"upload-{upload.id}",
    )
    return run.run_id


def _file_page(
    view: View, upload: Upload, errors: Errors | None = None, status: int = 200, answer: Answer | None = None
) -> Response:
    recipes = view.io.trainer(lambda trainer: trainer.recipes())
    if answer is None:
        answer = _read(view.console, upload)
    found = dict(errors or {})
    if answer.problem is not None:
        found.setdefault(field_of(answer.problem.text, answer.problem.option), in_words(answer.problem.text))
    preview = answer.preview
    task = preview["task"] if preview else (upload.options.task or "")
    fitting = [one for one in recipes.part.or_else(()) if not task or task in one.tasks]
    return view.page(
        "training_file.html",
        status,
        upload=upload,
        answer=answer,
        preview=preview,
        notes=[in_words(note) for note in preview["notes"]] if preview else [],
        doubts=[in_words(doubt) for doubt in preview["doubts"]] if preview else [],
        classes=shares(preview["classes"]) if preview else [],
        errors=found,
        kinds=KINDS,
        leave_out=LEAVE_OUT,
        tasks=TASKS,
        recipes=fitting,
        recipes_part=recipes.part,
        metrics=metrics_of(task),
        shown=SHOWN_COLUMNS,
        keep_h=view.console.uploads.keep_h,
    )


def _read(console: Console, upload: Upload) -> Answer:
    """The reading of the file, once for the same options."""
    answer = console.uploads.answer(upload)
    if answer is None:
        answer = console.reader.read(console.uploads.folder(upload), upload.file, upload.options)
        console.uploads.keep_answer(upload, answer)
    return answer
