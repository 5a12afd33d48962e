"""The outermost layer: sessions instead of keys, and the headers that keep a page from loading anything foreign."""

import asyncio
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final

from fastapi.responses import RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from modelyard_console.domain.links import sign_in
from modelyard_console.store.sessions import Session, Sessions
from modelyard_runtime.errors import Forbidden, Unavailable
from modelyard_runtime.http.edge import Edge

COOKIE: Final = "modelyard_session"
OPEN: Final = ("/sign-in", "/static/", "/favicon.ico")
SESSION: Final = "console.session"
"""Entry of the scope: the session of a request."""
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
Refuse = Callable[[str], Response]
"""Renders a sentence as a page with status 503."""


def session_edge(sessions: Sessions, sign_in_again: Response, unavailable: Refuse) -> type[Edge]:
    """The edge of the console.

    sign_in_again: answers a form that was sent after its session had ended. unavailable: answers while keys cannot be
    checked.
    """

    class SessionEdge(Edge):
        @classmethod
        def is_open(cls, path: str) -> bool:
            return super().is_open(path) or path.startswith(OPEN)

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message = {**message, "headers": [*message.get("headers", ()), *_headers(scope["path"])]}
                await send(message)

            await super().__call__(scope, receive, sending)

        async def refusal(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
            if "authorization" in headers:  # programs, such as the one that collects the metrics
                return await super().refusal(scope, headers)
            session = await asyncio.to_thread(sessions.find, cookie_of(headers))
            try:
                principal = None if session is None else await self.authenticator.authenticate(session.api_key)
            except Unavailable as error:
                return unavailable(str(error))
            if session is None or principal is None:
                return _to_sign_in(scope, headers, sign_in_again)
            scope["modelyard.principal"], scope[SESSION] = principal, session
            return None

    return SessionEdge


def session_of(scope: Scope) -> Session:
    """The session of a request behind the edge. Forbidden for a program with a key of its own: it has none."""
    session: Session | None = scope.get(SESSION)
    if session is None:
        raise Forbidden("pages are for browsers: sign in at /sign-in; programs call the APIs of the services")
    return session


def cookie_of(headers: Mapping[str, str]) -> str:
    """The session cookie; empty without one."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _to_sign_in(scope: Scope, headers: Mapping[str, str], again: Response) -> Response:
    if scope["method"] not in ("GET", "HEAD"):
        return again
    wanted = scope["path"] + (f"?{query}" if (query := scope["query_string"].decode("latin-1")) else "")
    if "hx-request" in headers or headers.get("accept", "").startswith("text/event-stream"):
        return Response(status_code=401, headers={"HX-Redirect": sign_in(wanted)})
    return RedirectResponse(sign_in(wanted), 303)


def _headers(path: str) -> list[tuple[bytes, bytes]]:
    cache = "public, max-age=31536000, immutable" if path.startswith("/static/") else "no-store"
    return [(name.encode(), value.encode()) for name, value in {**HEADERS, "cache-control": cache}.items()]
