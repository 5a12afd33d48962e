"""A run of a synchronisation in the background: it reports, can be stopped, and continues where it ended."""

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Final

from modelyard import ApiError, RegistryClient
from modelyard_console.clients.sources import Source
from modelyard_console.domain.formats import size
from modelyard_console.domain.own_models import WrongFields
from modelyard_console.domain.syncs import RunState, SyncProgress, Taken, sync_words
from modelyard_console.live.hub import Hint
from modelyard_console.live.progress import Ended, Progress
from modelyard_console.pages.live import REGISTRATION
from modelyard_console.pages.view import Console, View
from modelyard_console.store.sync_runs import SyncRun
from modelyard_own import Plan, Request, UnfitModel
from modelyard_own.sync import ForeignModel, ForeignRegistry, Sync, synchronise
from modelyard_own.work import FILES
from modelyard_runtime.errors import Invalid, Unavailable

KEPT: Final = "What was taken over stays; continue, and the rest follows."
log = logging.getLogger(__name__)


def start(view: View, run: SyncRun, source: Source) -> None:
    """Start a run with the key of the person, or continue it. Invalid while another run takes over the same model."""
    console = view.console
    if console.sync_jobs.running(run.id):
        return
    if any(one.model == run.model and console.sync_jobs.running(one.id) for one in console.syncs.all()):
        raise Invalid(f"Model: {run.model} is being synchronised; wait for the end of that run", field="model")
    client = console.platform.client("registry", RegistryClient, view.session.api_key, console.registering_timeout_s)
    console.syncs.save(run.model_copy(update={"uploaded_at": console.clock()}))
    before = console.syncs.progress(run)
    waiting = SyncProgress(text="It waits for its turn.", taken=tuple(one for one in before.taken if one.done))
    _keep(console, run, waiting)
    context = copy_context()  # with the correlation id of the request

    def work(stop: threading.Event) -> Callable[[], None]:
        return context.run(_work, console, client, run, source, _Progress(console, run, waiting, stop))

    console.sync_jobs.start(run.id, work)


def cancel(console: Console, run: SyncRun) -> None:
    """End a run; what was taken over stays."""
    console.sync_jobs.stop(run.id)
    if not console.sync_jobs.running(run.id):  # it had waited, or was interrupted by a restart
        found = console.syncs.progress(run)
        if found.state is RunState.RUNNING:
            _keep(console, run, _stopped(found, "It was stopped."))


def current(console: Console, run: SyncRun) -> SyncProgress:
    """How far a run is. One that a restart of the console interrupted is stopped."""
    running = console.sync_jobs.running(run.id)  # before its state is read: a job that ended has written it
    found = console.syncs.progress(run)
    if found.state is not RunState.RUNNING:
        return found
    if console.sync_jobs.stopping(run.id):
        return found.model_copy(update={"text": "It is being stopped."})
    return found if running else _stopped(found, "The console was restarted.")


def _stopped(found: SyncProgress, why: str) -> SyncProgress:
    return found.model_copy(update={"state": RunState.STOPPED, "text": f"{why} {KEPT}"})


def _work(
    console: Console, client: RegistryClient, run: SyncRun, source: Source, progress: "_Progress"
) -> Callable[[], None]:
    """Return what writes the end, which then may be continued at once."""
    log.info("synchronisation of %s with %s for %s", run.model, source.title, run.owner)
    try:
        found = _end(console, client, run, source, progress)
    finally:
        console.syncs.clear(run)
        console.syncs.room.release(run.id)
    return lambda: _keep(console, run, found)


def _end(console: Console, client: RegistryClient, run: SyncRun, source: Source, progress: "_Progress") -> SyncProgress:
    """The end of a run; every error is one, so that its page shows it."""
    state = RunState.FAILED
    try:
        with console.sources.opened(source, progress.pause) as foreign:
            there = _there(foreign, source, run)
            sync = Sync(
                client,
                foreign,
                run.model,
                console.syncs.folder(run),
                progress.report,
                read=partial(_read, console, run, progress),
                fits=partial(_fits, console, run),
                only=frozenset(run.only),
            )
            for outcome in synchronise(sync, there):
                progress.add(Taken.of(outcome))
        state, text = RunState.COMPLETE, ""
    except Ended as error:
        state, text = RunState.STOPPED, f"{error} {KEPT}"
    except ApiError as error:
        text = f"{sync_words(f'{error.title}: {error.detail}')} {KEPT}"
    except (UnfitModel, Unavailable) as error:
        text = f"{sync_words(str(error))} {KEPT}"
    except Exception:
        log.exception("a synchronisation failed")
        text = "The console made a mistake; its log has the details."
    return progress.found.model_copy(update={"state": state, "text": text})


def _there(foreign: ForeignRegistry, source: Source, run: SyncRun) -> ForeignModel:
    for found in foreign.models(run.there):
        return found
    raise UnfitModel(f"{source.title} has no model {run.there} any more")


def _read(console: Console, run: SyncRun, progress: "_Progress", request: Request) -> Plan:
    """Read the files of a version in the confined process; UnfitModel for a model that cannot be used."""
    progress.report(f"reading version {request.origin.revision if request.origin else ''}")
    folder = console.syncs.folder(run)
    name = request.path.relative_to(folder / FILES).as_posix()
    try:
        answer = console.model_reader.read(folder, name, run.sample, run.values, origin=request.origin)
    except WrongFields as error:
        raise UnfitModel("; ".join(error.errors.values())) from error
    plan = answer.ready(folder)
    if plan is None:
        raise UnfitModel(answer.problem)
    stated = plan.stated.model_copy(update={"description": request.stated.description})
    return plan.model_copy(update={"stated": stated})


def _fits(console: Console, run: SyncRun, size_bytes: int) -> None:
    most = console.hubs.max_bytes
    if size_bytes > most:
        raise UnfitModel(f"its files have {size(size_bytes)}, more than the {size(most)} of one; use `modelyard sync`")
    if not console.syncs.room.reserve(run.id, size_bytes, partial(console.syncs.have_bytes, run)):
        raise UnfitModel("models that wait for their registration take too much room; register or discard them")


class _Progress(Progress):
    def __init__(self, console: Console, run: SyncRun, before: SyncProgress, stop: threading.Event) -> None:
        super().__init__(stop, console.hubs.timeout_s)
        self._console, self._run, self._before = console, run, before
        self._taken = before.taken

    @property
    def found(self) -> SyncProgress:
        """The progress so far."""
        return self._before.model_copy(update={"text": self.text or self._before.text, "taken": self._taken})

    def keep(self) -> None:
        _keep(self._console, self._run, self.found)

    def add(self, taken: Taken) -> None:
        """Note the result of one difference."""
        self._taken = (*self._taken, taken)
        self.write()
        self.check()


def _keep(console: Console, run: SyncRun, found: SyncProgress) -> None:
    console.syncs.keep_progress(run, found)
    console.hub.from_thread(Hint(REGISTRATION, run.model))
