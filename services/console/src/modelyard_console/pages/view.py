"""What a page gets: who asks, the services as that person may use them, and a way to render."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import UploadFile

from modelyard import ApiError
from modelyard_console.clients.file_reader import FileReader
from modelyard_console.clients.hubs import Hubs
from modelyard_console.clients.model_reader import ModelReader
from modelyard_console.clients.platform import Platform, Services, explained
from modelyard_console.clients.sources import Sources
from modelyard_console.domain.links import safe_next
from modelyard_console.live.hub import Hub
from modelyard_console.live.jobs import Jobs
from modelyard_console.pages.edge import session_of
from modelyard_console.pages.errors import FORM
from modelyard_console.pages.flash import flash_of, with_flash
from modelyard_console.pages.templates import Templates
from modelyard_console.store.model_uploads import ModelUploads
from modelyard_console.store.sessions import Sessions
from modelyard_console.store.sync_runs import SyncRuns
from modelyard_console.store.uploads import Uploads
from modelyard_runtime.access import Authenticator, Principal, may, may_anywhere
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Forbidden, Invalid
from modelyard_runtime.http import allow
from modelyard_runtime.http.access import target_of

Over = Literal["resource", "any-workspace", "all-workspaces"]
MAX_FIELD_CHARS: Final = 100_000
MAX_FILES: Final = 200
"""Files of one form; each is in memory up to 1 MiB while it arrives."""
NAVIGATION: Final = (
    ("/", "Overview", "o"),
    ("/models", "Models", "m"),
    ("/training", "Training", "t"),
    ("/experiments", "Experiments", "x"),
    ("/evaluations", "Evaluations", "e"),
    ("/approvals", "Approvals", "a"),
    ("/rollouts", "Rollouts", "r"),
    ("/routes", "Routes", "u"),
    ("/alarms", "Alarms", "d"),
    ("/timelines", "Timelines", "l"),
    ("/value", "Loop value", "v"),
    ("/admin", "Admin", "k"),
)
"""Address, title and second key of the shortcut `g x`."""


@dataclass(frozen=True)
class Console:
    """The parts that pages are made of."""

    platform: Platform
    sessions: Sessions
    authenticator: Authenticator
    templates: Templates
    hub: Hub
    clock: Clock
    secure_cookies: bool
    uploads: Uploads
    reader: FileReader
    max_upload_bytes: int
    models: ModelUploads
    model_reader: ModelReader
    jobs: Jobs
    hubs: Hubs
    imports: Jobs
    sources: Sources
    syncs: SyncRuns
    sync_jobs: Jobs
    max_model_upload_bytes: int
    registering_timeout_s: float

    def view(self, action: str, kind: str, over: Over = "any-workspace") -> Callable[..., "View"]:
        """A dependency: the view of a caller who is allowed `action` on `kind`."""

        def build(request: Request, principal: Annotated[Principal, Depends(allow(action, kind, over=over))]) -> View:
            return View(self, request, principal)

        return build

    def form(self, action: str, kind: str, over: Over = "resource") -> Callable[..., Any]:
        """A dependency: a sent form, of a caller who is allowed `action`, from a page of this console."""

        async def build(
            request: Request, principal: Annotated[Principal, Depends(allow(action, kind, over=over))]
        ) -> Form:
            return await sent_form(View(self, request, principal))

        return build


class View:
    """One request of a signed-in person."""

    def __init__(self, console: Console, request: Request, me: Principal) -> None:
        self.console, self.request, self.me = console, request, me
        self.position = console.hub.position
        self.session = session_of(request.scope)
        self.io: Services = console.platform.using(self.session.api_key)

    def may(self, action: str, kind: str, reference: str | None = None) -> bool:
        """Whether to show a button. The service that is called decides in the end."""
        if reference is None:
            return may_anywhere(self.me, action, kind).allowed
        return may(self.me, action, target_of(reference, kind)).allowed

    def page(self, name: str, status: int = 200, /, **context: Any) -> Response:
        """Render a page."""
        flash = flash_of(self.request)
        text = self.console.templates.render(name, {**self._common(), "flash": flash, **context})
        response = HTMLResponse(text, status)
        if flash:
            response.delete_cookie("modelyard_flash")
        return response

    def _common(self) -> dict[str, Any]:
        path = self.request.url.path
        return {
            "me": self.me,
            "may": self.may,
            "csrf": self.session.csrf,
            "position": self.position,
            "path": path,
            "here": path + (f"?{self.request.url.query}" if self.request.url.query else ""),
            "navigation": NAVIGATION,
            "now": self.console.clock(),
            "not_followed": self.console.hub.away,
        }


@dataclass(frozen=True)
class Form:
    """A sent form whose token was checked."""

    view: View
    values: Mapping[str, str]
    files: Mapping[str, UploadFile]
    several: tuple[tuple[str, UploadFile], ...] = ()
    """Field and file of every file that was sent."""

    def text(self, name: str, default: str = "") -> str:
        """A field without blanks around it."""
        return self.values.get(name, default).strip()

    def required(self, name: str, label: str) -> str:
        """A field that must be filled; Invalid names it."""
        if not (value := self.text(name)):
            raise Invalid(f"{label}: fill in this field", field=name)
        return value

    def do(self, call: Callable[[Services], object], *, done: str, then: str) -> Response:
        """Call a service; then show a page with a sentence about what was done. Nothing typed is lost on an error."""
        try:
            call(self.view.io)
        except ApiError as error:
            return self.refused(explained(error), error.status or 503)
        return self.finish(done, then)

    def finish(self, done: str, then: str) -> Response:
        """Go to a page of this console that shows a sentence about what was done."""
        return with_flash(RedirectResponse(safe_next(then), 303), done)

    def refused(self, problem: Mapping[str, Any], status: int = 422) -> Response:
        """Show why the action was refused, with all fields, to correct and send again."""
        fields = {name: value for name, value in self.values.items() if name not in ("csrf", "back")}
        back = self.values.get("back", "/")
        context = {"problem": problem, "fields": fields, "back": back, "action": self.view.request.url.path}
        return self.view.page("refused.html", status, **context)


async def sent_form(view: View) -> Form:
    """Read a form; Forbidden if its token is not that of the session."""
    found = await view.request.form(max_files=MAX_FILES, max_fields=500, max_part_size=MAX_FIELD_CHARS * 4)
    values = {name: value for name, value in found.items() if isinstance(value, str)}
    files = {name: value for name, value in found.items() if isinstance(value, UploadFile)}
    if not hmac.compare_digest(values.get("csrf", "").encode(), view.session.csrf.encode()):
        raise Forbidden("this form is from another session; open the page again, then send it")
    several = tuple((name, value) for name, value in found.multi_items() if isinstance(value, UploadFile))
    form = Form(view, values, files, several)
    setattr(view.request.state, FORM, form)  # an error shows it again, with everything that was typed
    return form
