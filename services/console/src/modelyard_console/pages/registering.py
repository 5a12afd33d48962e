"""The registration of an uploaded model in the background, and the page that follows it."""

import logging
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Final

from fastapi.responses import Response

from modelyard import ApiError, RegistryClient
from modelyard_console.clients.platform import explained
from modelyard_console.domain import links
from modelyard_console.domain.imports import DownloadState
from modelyard_console.domain.registration import FileFinding, Progress, Registration, State, steps
from modelyard_console.live.hub import Hint
from modelyard_console.pages.live import REGISTRATION
from modelyard_console.pages.view import Console, View
from modelyard_console.store.model_uploads import ModelUpload
from modelyard_contracts.admission import Finding
from modelyard_contracts.documents import read
from modelyard_own import Plan, Registered, register_plan

INADMISSIBLE: Final = "inadmissible"
"""Code of the registry's refusal after its scan."""
NOT_ALLOWED: Final = "permission_not_granted"
"""Code of the registry's refusal of code that was not allowed yet."""
REPORTED_S: Final = 0.5
"""Least time between two reports of progress."""
log = logging.getLogger(__name__)


def elsewhere(console: Console, upload: ModelUpload) -> str:
    """The page of an upload that cannot be corrected: its registration runs or has a final result, or files of a hub
    have not arrived. Empty if it can be corrected."""
    if console.jobs.running(upload.id):
        return links.registration(upload.id)
    found = console.models.registration(upload)
    if found is not None and found.state in (State.REGISTERED, State.REFUSED):
        return links.registration(upload.id)
    download = console.models.download(upload)
    return "" if download is None or download.state is DownloadState.COMPLETE else links.model_import(upload.id)


def start(view: View, upload: ModelUpload, plan: Plan) -> None:
    """Start the registration with the key of the person; one that runs already goes on."""
    console = view.console
    client = console.platform.client("registry", RegistryClient, view.session.api_key, console.registering_timeout_s)
    console.models.keep_registration(upload, Registration(text="It starts."))
    context = copy_context()  # with the correlation id of the request
    console.jobs.start(upload.id, lambda _: context.run(_register, console, client, upload, plan))


def _register(console: Console, client: RegistryClient, upload: ModelUpload, plan: Plan) -> Callable[[], None] | None:
    """Return what shows a failure, which then may be corrected at once; a success is shown here, and is final."""
    ended = _outcome(lambda: register_plan(client, plan, upload.model, _reporter(console, upload)))
    if ended.state is not State.REGISTERED:
        return lambda: _keep(console, upload, ended)
    _keep(console, upload, ended)
    console.models.clear(upload)
    return None


def _outcome(call: Callable[[], Registered]) -> Registration:
    """The end of a registration; every error is one, so that its page shows it."""
    try:
        done = call()
        sizes = {"uploaded_bytes": done.uploaded_bytes, "skipped_bytes": done.skipped_bytes}
        return Registration(state=State.REGISTERED, version=done.info.version, **sizes)
    except ApiError as error:
        return _refused(error)
    except Exception:
        log.exception("a registration failed")
        return Registration(state=State.FAILED, text="The console made a mistake; its log has the details.")


def _refused(error: ApiError) -> Registration:
    problem = explained(error)
    text = f"{problem['detail']}. {problem['remedy'] or ''}".strip(" .") + "."
    if error.code == NOT_ALLOWED:
        text = f"{text} A reviewer or an admin allows it on the page of the version; then register again."
    if error.code != INADMISSIBLE:
        return Registration(state=State.FAILED, text=text)
    given: list[dict[str, Any]] = list(error.body.get("findings", ()))
    findings = tuple(FileFinding(file=str(one["file"]), finding=read(Finding, one)) for one in given)
    return Registration(state=State.REFUSED, text=text, findings=findings)


def _reporter(console: Console, upload: ModelUpload) -> Callable[[str], None]:
    """Keeps the last report for the page, not more often than it can be read."""
    last = 0.0

    def report(text: str) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= REPORTED_S:
            last = now
            _keep(console, upload, Registration(text=f"{text}."))

    return report


def _keep(console: Console, upload: ModelUpload, found: Registration) -> None:
    console.models.keep_registration(upload, found)
    console.hub.from_thread(Hint(REGISTRATION, upload.model))


def progress_page(view: View, upload: ModelUpload) -> Response:
    """The steps of a registration. One that a restart of the console interrupted can be started again."""
    console = view.console
    running = console.jobs.running(upload.id)  # before its state is read: a job that ended has written it
    found = console.models.registration(upload) or Registration()
    if found.state is State.RUNNING and not running:
        found = Registration(state=State.FAILED, text="The console was restarted; register again, and it continues.")
    known = _known(view, upload.model, found.version) if found.version is not None else Progress()
    return view.page(
        "models_register_progress.html", upload=upload, registration=found, known=known, steps=steps(found, known)
    )


def _known(view: View, model: str, number: int) -> Progress:
    io = view.io
    version = io.registry(lambda registry: registry.version(model, number))
    scan = io.registry(lambda registry: registry.scan(model, number))
    evaluations = io.evaluator(lambda evaluator: evaluator.evaluations(model, limit=20))
    rollouts = io.deployer(lambda deployer: deployer.rollouts(model, limit=20))
    judged = (one for one in evaluations.part.or_else(()) if one.challenger_version == number)
    moved = (one for one in rollouts.part.or_else(()) if one.to_version == number)
    report = scan.part.found.report if scan.part.found else None
    return Progress(version.part.found, report, next(judged, None), next(moved, None))
