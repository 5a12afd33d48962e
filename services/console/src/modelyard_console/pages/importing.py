"""The download of a model from a hub, in the background: it reports, can be stopped, and continues where it ended."""

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Final

from modelyard import ApiError
from modelyard.errors import DigestMismatch
from modelyard_console.domain.formats import size
from modelyard_console.domain.imports import Download, DownloadState, Listing, problem_words
from modelyard_console.live.hub import Hint
from modelyard_console.live.progress import Ended, Progress
from modelyard_console.pages.live import REGISTRATION
from modelyard_console.pages.view import Console
from modelyard_console.store.model_uploads import ModelUpload
from modelyard_own import UnfitModel
from modelyard_runtime.errors import Invalid

KEPT: Final = "What has arrived is kept; continue, and the rest is downloaded."
NO_ROOM: Final = (
    "models that wait for their registration, or are being downloaded, take too much room; register or discard them"
)
log = logging.getLogger(__name__)


def start(console: Console, upload: ModelUpload, listing: Listing) -> None:
    """Start the download; one that waits or runs already goes on. Invalid if there is no room for its files."""
    if console.imports.running(upload.id):
        return
    check_room(console, upload, listing)
    if not console.models.room.reserve(
        upload.id, listing.choice.size_bytes, partial(console.models.have_bytes, upload)
    ):
        raise Invalid(NO_ROOM)
    upload = console.models.again(upload)
    _keep(console, upload, Download(state=DownloadState.RUNNING, text="It waits for its turn."))
    context = copy_context()  # with the correlation id of the request
    console.imports.start(upload.id, lambda stop: context.run(_download, console, upload, listing, stop))


def cancel(console: Console, upload: ModelUpload) -> None:
    """End the download; what has arrived stays."""
    console.imports.stop(upload.id)
    if not console.imports.running(upload.id):  # it had waited, or was interrupted by a restart
        console.models.room.release(upload.id)
        found = console.models.download(upload)
        if found is not None and found.state is DownloadState.RUNNING:
            _keep(console, upload, _stopped(console, upload, "It was stopped."))


def current(console: Console, upload: ModelUpload) -> Download:
    """How far the download is. One that a restart of the console interrupted is stopped."""
    running = console.imports.running(upload.id)  # before its state is read: a job that ended has written it
    found = console.models.download(upload) or Download()
    if found.state is not DownloadState.RUNNING:
        return found
    if console.imports.stopping(upload.id):
        return found.model_copy(update={"text": "It is being stopped."})
    return found if running else _stopped(console, upload, "The console was restarted.")


def _stopped(console: Console, upload: ModelUpload, why: str) -> Download:
    text = f"{why} {KEPT}"
    return Download(state=DownloadState.STOPPED, text=text, have_bytes=console.models.have_bytes(upload))


def check_room(console: Console, upload: ModelUpload, listing: Listing) -> None:
    """Invalid if the files are too large for one import, or for what waits on the console."""
    wanted, most = listing.choice.size_bytes, console.hubs.max_bytes
    if wanted > most:
        raise Invalid(
            f"the files have {size(wanted)}, more than the {size(most)} of one import; leave files out, or use "
            "`modelyard import`",
            field="exclude",
        )
    if wanted - console.models.have_bytes(upload) > console.models.room.free_bytes():
        raise Invalid(NO_ROOM)


def _download(
    console: Console, upload: ModelUpload, listing: Listing, stop: threading.Event
) -> Callable[[], None] | None:
    """Return what writes the end, which then may be continued at once."""
    origin = listing.snapshot.origin
    log.info("download of %s at %s for %s", origin.uri, origin.revision, upload.owner)
    try:
        found = _end(console, upload, listing, _Progress(console, upload, stop))
    finally:
        console.models.room.release(upload.id)
    return lambda: _keep(console, upload, found)


def _end(console: Console, upload: ModelUpload, listing: Listing, progress: "_Progress") -> Download:
    """The end of a download; every error is one, so that its page shows it."""
    folder, parts = console.models.places(upload)
    state, text = DownloadState.FAILED, ""
    try:
        console.hubs.fetch(listing, folder, parts, progress.report, progress.pause)
        state = DownloadState.COMPLETE
    except Ended as error:
        state, text = DownloadState.STOPPED, f"{error} {KEPT}"
    except DigestMismatch as error:
        text = f"The hub sent other bytes than it states: {error.detail}. Nothing of that file was kept."
    except ApiError as error:
        text = problem_words(f"{error.title}: {error.detail}", console.hubs.token_variable(listing.hub))
    except UnfitModel as error:
        text = problem_words(str(error).removeprefix(f"{folder}: "))
    except Exception:
        log.exception("a download failed")
        text = "The console made a mistake; its log has the details."
    return Download(state=state, text=text, have_bytes=console.models.have_bytes(upload))


class _Progress(Progress):
    def __init__(self, console: Console, upload: ModelUpload, stop: threading.Event) -> None:
        super().__init__(stop, console.hubs.timeout_s)
        self._console, self._upload = console, upload

    def keep(self) -> None:
        have = self._console.models.have_bytes(self._upload)
        _keep(self._console, self._upload, Download(state=DownloadState.RUNNING, text=self.text, have_bytes=have))


def _keep(console: Console, upload: ModelUpload, found: Download) -> None:
    console.models.keep_download(upload, found)
    console.hub.from_thread(Hint(REGISTRATION, upload.model))
