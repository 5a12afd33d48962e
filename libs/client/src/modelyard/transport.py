"""One HTTP connection pool per API: token, timeouts, errors as ApiError."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote
from uuid import UUID

import httpx
from pydantic import Field

from modelyard.blobs import CHUNK_BYTES
from modelyard.changes import ChangeEvent, follow
from modelyard.errors import ApiError, ApiUnavailable
from modelyard.results.base import Result
from modelyard.results.dead_letters import DeadLetters

CONNECT_RETRIES: Final = 2
"""Only where the connection could not be made, so nothing is ever sent twice."""


class ServiceCheck(Result):
    """One condition of readiness."""

    ok: bool
    detail: str = ""


class ServiceState(Result):
    """Whether a service is ready."""

    ready: bool
    version: str = ""
    checks: dict[str, ServiceCheck] = Field(default_factory=dict)


class ApiClient:
    """Base of the clients. Safe to share between threads; close it, or use it in a `with`.

    token: a bearer key. timeout_s: for connecting and for each read, not for a whole download.
    transport: an httpx transport, for tests. context: headers to add to each request, computed for each: the
    caller's trace context.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        timeout_s: float = 10.0,
        *,
        transport: httpx.BaseTransport | None = None,
        context: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.base_url,
            timeout=timeout_s,
            headers={"authorization": f"Bearer {token}"},
            transport=transport or httpx.HTTPTransport(retries=CONNECT_RETRIES),
            event_hooks={"request": [lambda request: request.headers.update(context())]},
            trust_env=False,  # calls between our own services must not go through a proxy
        )

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One call; ApiError for every answer outside 2xx and for no answer."""
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise ApiError.unreachable(self.base_url, error) from error
        if not response.is_success:
            raise ApiError.of(response)
        return response

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON at `path`; parameters that are None are left out."""
        return self.request("GET", path, params=given(parameters)).json()

    def streamed(self, path: str) -> Iterator[bytes]:
        """The bytes at `path`, in chunks."""
        with self._streaming("GET", path) as response:
            yield from response.iter_bytes(CHUNK_BYTES)

    def events(self, path: str, body: dict[str, Any]) -> Iterator[str]:
        """The data of the server-sent events that answer a POST, as they arrive."""
        with self._streaming("POST", path, json=body) as response:
            yield from (line[5:].strip() for line in response.iter_lines() if line.startswith("data:"))

    @contextmanager
    def _streaming(self, method: str, path: str, **arguments: Any) -> Iterator[httpx.Response]:
        try:
            with self._http.stream(method, path, **arguments) as response:
                if not response.is_success:
                    response.read()
                    raise ApiError.of(response)
                yield response
        except httpx.HTTPError as error:
            raise ApiError.unreachable(self.base_url, error) from error

    def post(self, path: str, body: dict[str, Any] | None = None, *, timeout_s: float | None = None) -> Any:
        """The JSON answer of a POST; fields of `body` that are None are left out."""
        timeout = {} if timeout_s is None else {"timeout": timeout_s}
        return self.request("POST", path, json=given(body or {}), **timeout).json()

    def items(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """The items of a list."""
        answer = self.get(path, **parameters)
        found: list[dict[str, Any]] = answer if isinstance(answer, list) else answer["items"]
        return found

    def changes(
        self,
        model: str | None = None,
        *,
        last_event_id: str | None = None,
        retries: int | None = None,
        on_connection: Callable[[ApiUnavailable | None], None] = lambda _: None,
    ) -> Iterator[ChangeEvent]:
        """Follow the changes of this service's resources, for ever; see `modelyard.changes`."""
        return follow(self._http, self.base_url, model, last_event_id, retries, on_connection)

    def state(self) -> ServiceState:
        """Whether the service is ready, and its checks; ApiError when it does not answer."""
        try:
            found = self.get("/health/ready")
        except ApiError as error:
            if "checks" not in error.body:
                raise
            found = error.body
        return ServiceState.model_validate(found)

    def dead_letters(self, *, limit: int = 100) -> DeadLetters:
        """Records that the service could not handle, newest first, and their number by topic."""
        return DeadLetters.model_validate(self.get("/v1/dead-letters", limit=limit))

    def resend_dead_letters(self, topic: str, *, through: int, reason: str) -> int:
        """Have the oldest dead letters of a topic handled again, up to a position; return their number.

        At most 200 per call. Those that fail again become new dead letters.
        """
        body = {"topic": topic, "through": through, "reason": reason}
        return int(self.post("/v1/dead-letters/resend", body)["handled"])

    def ready(self) -> bool:
        """Whether the service reports that it is ready; False when it does not answer."""
        try:
            self.request("GET", "/health/ready")
        except ApiError:
            return False
        return True


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that are None."""
    return {name: value for name, value in fields.items() if value is not None}


def part(value: str) -> str:
    """A name as one part of a path."""
    return quote(value, safe="")


def text(value: UUID | str | None) -> str | None:
    """An id as it stands in a request."""
    return None if value is None else str(value)
