"""Signing in and out. A form that was sent after its session had ended is kept until the person signed in again."""

import asyncio
import json
import secrets
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from modelyard_console.domain.links import safe_next
from modelyard_console.pages.edge import COOKIE
from modelyard_console.pages.templates import Templates
from modelyard_console.pages.view import Console, Form
from modelyard_console.store.sessions import Session
from modelyard_runtime.access import Principal, token_of
from modelyard_runtime.errors import Forbidden, Unavailable
from modelyard_runtime.http import allow

CODE_FOR: Final = timedelta(minutes=5)
MAX_CODES: Final = 1_000
MAX_KEPT_BYTES: Final = 1 << 20


class Codes:
    """Codes of `modelyard console`: each signs in once, so that no key is typed or appears in a URL."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[str, datetime]] = {}

    def create(self, api_key: str, now: datetime) -> str:
        self._keys = {code: kept for code, kept in self._keys.items() if now - kept[1] < CODE_FOR}
        while len(self._keys) >= MAX_CODES:
            self._keys.pop(next(iter(self._keys)))
        code = secrets.token_urlsafe(32)
        self._keys[code] = api_key, now
        return code

    def use(self, code: str, now: datetime) -> str | None:
        """The key of a code; None if it was used or is too old."""
        api_key, at = self._keys.pop(code, ("", now - CODE_FOR))
        return api_key if now - at < CODE_FOR else None


class SignInAgain(Response):
    """Answers a form whose session has ended: asks for the key, and keeps what was typed."""

    def __init__(self, templates: Templates) -> None:
        super().__init__()
        self._templates = templates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        length = request.headers.get("content-length", "")
        small = length.isdigit() and int(length) <= MAX_KEPT_BYTES
        kept = await self._fields(request) if small and not _foreign(request) else {}
        context = _context("/", "Your session has ended. Sign in again; what you typed is kept.")
        context |= {"kept": json.dumps({"action": request.url.path, "fields": kept}) if kept else ""}
        await HTMLResponse(self._templates.render("sign_in.html", context), 401)(scope, receive, send)

    async def _fields(self, request: Request) -> dict[str, str]:
        found = await request.form(max_fields=500)
        return {name: value for name, value in found.items() if isinstance(value, str) and name != "csrf"}


def _context(wanted: str, message: str = "", problem: str = "") -> dict[str, Any]:
    return {"next": safe_next(wanted), "message": message, "problem": problem, "kept": ""}


def add_signing_in(app: FastAPI, console: Console, codes: Codes) -> None:
    """`/sign-in`, `/sign-out` and the codes of the command line."""

    def show(context: dict[str, Any], status: int = 200) -> Response:
        return HTMLResponse(console.templates.render("sign_in.html", context), status)

    def signed_in(session: Session, response: Response) -> Response:
        secure = console.secure_cookies
        response.set_cookie(COOKIE, session.cookie, httponly=True, samesite="lax", secure=secure)
        return response

    @app.get("/sign-in", response_class=HTMLResponse)
    async def form(request: Request, next: str = "/", code: str = "") -> Response:
        """Ask for a key, or use a code of the command line."""
        if not code:
            return show(_context(next))
        api_key = codes.use(code, console.clock())
        if api_key is None:
            return show(_context(next, problem="This link was used or is older than 5 minutes; get a new one."), 401)
        session = await asyncio.to_thread(console.sessions.open, api_key)
        return signed_in(session, RedirectResponse(safe_next(next), 303))

    @app.post("/sign-in", response_class=HTMLResponse)
    async def sign_in(request: Request) -> Response:
        """Check a key and start a session."""
        if _foreign(request):
            raise Forbidden("this form was sent by another site; open the console itself, then sign in")
        sent = await request.form(max_fields=10)
        fields = {name: str(value) for name, value in sent.items()}
        context = {**_context(fields.get("next", "/")), "kept": fields.get("kept", "")}
        problem, status = await _refusal(console, fields.get("key", "").strip())
        if problem:
            return show({**context, "problem": problem}, status)
        session = await asyncio.to_thread(console.sessions.open, fields["key"].strip())
        kept = _kept(context["kept"])
        if kept is None:
            return signed_in(session, RedirectResponse(context["next"], 303))
        page = console.templates.render("send_again.html", {**kept, "csrf": session.csrf})
        return signed_in(session, HTMLResponse(page))

    @app.post("/sign-out", response_class=HTMLResponse)
    async def sign_out(form: Annotated[Form, Depends(console.form("read", "model", "any-workspace"))]) -> Response:
        """End the session."""
        await asyncio.to_thread(console.sessions.end, form.view.session.cookie)
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE)
        return response

    @app.post("/v1/sign-in-codes", status_code=201)
    async def create_code(
        request: Request, _: Annotated[Principal, Depends(allow("read", "model", over="any-workspace"))]
    ) -> JSONResponse:
        """Create a code that signs in once, for the key in the `Authorization` header."""
        api_key = token_of(request.headers.get("authorization"))
        if api_key is None:
            raise Forbidden("send Authorization: Bearer <API key>")
        return JSONResponse({"code": codes.create(api_key, console.clock()), "seconds": CODE_FOR.seconds}, 201)


def _foreign(request: Request) -> bool:
    """Whether a page of another site sent the request. Browsers state it, and pages cannot change it."""
    return request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


async def _refusal(console: Console, api_key: str) -> tuple[str, int]:
    """Why a key does not sign in, and the status; empty if it does."""
    if not api_key:
        return "Enter an API key.", 422
    try:
        principal = await console.authenticator.authenticate(api_key)
    except Unavailable as error:
        return f"The key cannot be checked now: {error}.", 503
    if principal is None:
        return "This key is unknown, expired or revoked.", 401
    return ("", 200) if principal.roles or principal.kind == "bootstrap" else ("This key has no role.", 403)


def _kept(text: str) -> dict[str, Any] | None:
    """The form that was sent after the session had ended; None without one."""
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("fields"), dict):
        return None
    fields = {str(name): str(value) for name, value in found["fields"].items()}
    return {"action": safe_next(str(found.get("action", "/"))), "fields": fields}
