"""One call of a provider over HTTP: bounded in time and bytes, without redirects, proxies or cookies."""

import json
import math
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Timer
from typing import Any, Final
from urllib.parse import urlsplit

from modelyard_contracts.sentences import plain
from modelyard_flavours.errors import ProviderError
from modelyard_flavours.providers.access import Terms
from modelyard_flavours.providers.limits import LIMITED, Throttle

MAX_ANSWER_BYTES: Final = 64 << 20
MAX_LINE_BYTES: Final = 1 << 20
MAX_ERROR_BYTES: Final = 16 << 10
READ_BYTES: Final = 64 << 10
SHOWN_CHARACTERS: Final = 300
CONNECT_TIMEOUT_S: Final = 10.0
TOO_LONG: Final = "context_length_exceeded"
"""Code of an error, here and at providers: the request has more tokens than the context."""
BAD_ANSWER: Final = "provider_bad_answer"


class Answer:
    """An answer with status 200, read once."""

    def __init__(self, response: HTTPResponse, terms: Terms) -> None:
        self._response, self._terms, self._size = response, terms, 0
        self.streamed = "event-stream" in (response.getheader("content-type") or "")

    def document(self) -> dict[str, Any]:
        """The body as one JSON object."""
        return self._parsed(b"".join(self._chunks()))

    def events(self) -> Iterator[dict[str, Any]]:
        """The server-sent events until `[DONE]` or the end."""
        rest = b""
        for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                raise self._bad(f"an event of more than {MAX_LINE_BYTES} bytes")
            for line in lines:
                if not line.startswith(b"data:"):
                    continue
                if (data := line[5:].strip()) == b"[DONE]":
                    return
                yield self._parsed(data)

    def _chunks(self) -> Iterator[bytes]:
        while chunk := self._response.read1(READ_BYTES):
            self._size += len(chunk)
            if self._size > MAX_ANSWER_BYTES:
                raise self._bad(f"an answer of more than {MAX_ANSWER_BYTES >> 20} MiB")
            yield chunk

    def _parsed(self, data: bytes) -> dict[str, Any]:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self._bad("an answer that is not JSON") from error
        if not isinstance(found, dict):
            raise self._bad("an answer that is no JSON object")
        if found.get("error"):
            raise self._terms.error(f"the provider reports: {_message(found)}", "provider_failed")
        return found

    def _bad(self, problem: str) -> ProviderError:
        return self._terms.error(f"the provider gave {problem}", BAD_ANSWER)


@contextmanager
def called(terms: Terms, throttle: Throttle, path: str, body: Mapping[str, Any]) -> Iterator[Answer]:
    """Send a request; ProviderError for every way in which no answer comes, also within the block."""
    timeout_s = terms.connection.limits.timeout_ms / 1000
    with throttle.call(terms), _ended_after(timeout_s, terms) as (connection, late):
        try:
            response = _sent(connection, terms, path, body)
            if response.status != 200:
                raise _refusal(terms, response, throttle)
            yield Answer(response, terms)
        except (ProviderError, OSError, HTTPException, ValueError) as error:
            if late:
                raise _too_late(terms, timeout_s) from None
            if isinstance(error, ProviderError):
                raise
            # The error's own text may hold what was sent, and with it the key.
            problem = f"the provider does not answer ({_reason(error)})"
            raise terms.error(problem, "provider_failed") from None
        if late:
            raise _too_late(terms, timeout_s)


def _too_late(terms: Terms, timeout_s: float) -> ProviderError:
    return terms.error(f"the provider did not finish its answer within {timeout_s:g} s", "provider_timeout")


def _sent(connection: HTTPConnection, terms: Terms, path: str, body: Mapping[str, Any]) -> HTTPResponse:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if terms.key:
        headers["Authorization"] = f"Bearer {terms.key}"
    target = urlsplit(terms.connection.endpoint).path.rstrip("/") + path
    connection.request("POST", target, json.dumps(body).encode(), headers)
    return connection.getresponse()


@contextmanager
def _ended_after(timeout_s: float, terms: Terms) -> Iterator[tuple[HTTPConnection, list[bool]]]:
    """A connection that is shut down after a time, however slowly bytes arrive; the list then has an entry."""
    url = urlsplit(terms.connection.endpoint)
    wait_s, late = min(timeout_s, CONNECT_TIMEOUT_S), list[bool]()
    connection = (
        HTTPSConnection(url.netloc, timeout=wait_s, context=_tls())
        if url.scheme == "https"
        else HTTPConnection(url.netloc, timeout=wait_s)
    )

    def end() -> None:
        late.append(True)
        if (sock := connection.sock) is not None:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = Timer(timeout_s, end)
    timer.daemon = True
    timer.start()
    try:
        connection.connect()
        connection.sock.settimeout(timeout_s)
        yield connection, late
    except OSError as error:
        raise terms.error(f"the provider does not accept connections ({_reason(error)})", "provider_failed") from None
    finally:
        timer.cancel()
        connection.close()


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _reason(error: Exception) -> str:
    """What happened, without the texts of libraries that quote what was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    return (getattr(error, "strerror", None) if isinstance(error, OSError) else None) or type(error).__name__


def _refusal(terms: Terms, response: HTTPResponse, throttle: Throttle) -> ProviderError:
    """The error of an answer whose status is not 200."""
    status, document = response.status, _document(response.read(MAX_ERROR_BYTES))
    text = _message(document)
    reported = f": {text}" if text else ""
    if status == 429:
        pause_s = throttle.pause(_seconds(response.getheader("retry-after")))
        return terms.error(f"the provider answered 429, too many requests{reported}", LIMITED, pause_s)
    if status in (401, 403):
        secret = terms.connection.secret or "(none)"
        problem = f"the provider answered {status}: it does not accept the key of the secret {secret}"
        return terms.error(problem, "provider_unauthorized")
    if status >= 500:
        return terms.error(f"the provider answered {status}{reported}", "provider_failed")
    if 300 <= status < 400:
        return terms.error(f"the provider answered {status}, a redirect; set endpoint to its target", BAD_ANSWER)
    error = document.get("error")
    too_long = isinstance(error, dict) and error.get("code") == TOO_LONG
    return terms.error(f"the provider answered {status}{reported}", TOO_LONG if too_long else "provider_refused")


def _document(data: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        found = json.loads(data)
        return found if isinstance(found, dict) else {}
    return {}


def _message(document: Mapping[str, Any]) -> str:
    """The provider's own words, shortened."""
    error = document.get("error")
    text = error.get("message") if isinstance(error, dict) else error
    return plain(text, SHOWN_CHARACTERS) if isinstance(text, str) else ""


def _seconds(header: str | None) -> int | None:
    """Seconds of a Retry-After; None for a date or nonsense."""
    try:
        value = float(header or "")
    except ValueError:
        return None
    return math.ceil(value) if 0 <= value < 1_000_000 else None
