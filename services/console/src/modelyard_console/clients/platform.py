"""The services as one browser may use them: called with its own key, several at once, each allowed to be away."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

import httpx

from modelyard import (
    ApiClient,
    ApiError,
    DeployerClient,
    EvaluatorClient,
    MonitorClient,
    RegistryClient,
    RouterClient,
    TrainerClient,
)
from modelyard_runtime.tracing import outgoing_headers

CALLS: Final = 32
"""Calls to services at a time, over all pages."""
CONNECTIONS: Final = 64
"""Open connections per service."""
SERVICE: Final = "called_service"
"""Field of an error's body: the service that was called."""

T = TypeVar("T")
ClientT = TypeVar("ClientT", bound=ApiClient)


@dataclass(frozen=True)
class Away:
    """Why a part of a page is missing."""

    service: str
    reason: str
    refused: bool = False
    """Whether the service refused the call; otherwise it did not answer, and may later."""


@dataclass(frozen=True)
class Part(Generic[T]):
    """A part of a page: its value, or why it is missing."""

    found: T | None = None
    away: Away | None = None

    def or_else(self, default: T) -> T:
        """The value, or `default` while the service is away."""
        return default if self.found is None else self.found


class Pending(Generic[T]):
    """A call that runs; ask for its result after all calls of the page were started."""

    def __init__(self, service: str, future: "Future[T]") -> None:
        self._service, self._future = service, future

    @cached_property
    def part(self) -> Part[T]:
        """The result, or why there is none. For parts that a page can do without."""
        try:
            return Part(found=self._future.result())
        except ApiError as error:
            return Part(away=Away(self._service, error.detail or error.title, refused=not error.retryable))

    def needed(self) -> T:
        """The result. ApiError if there is none: the whole page then shows the error, with the name of the service."""
        try:
            return self._future.result()
        except ApiError as error:
            error.body[SERVICE] = self._service
            raise


class Service(Generic[ClientT]):
    """One service, called in the background: `io.trainer(lambda trainer: trainer.runs())`."""

    def __init__(self, name: str, client: ClientT, pool: ThreadPoolExecutor) -> None:
        self._name, self.client, self._pool = name, client, pool

    def __call__(self, call: Callable[[ClientT], T]) -> Pending[T]:
        """Start a call. The trace context of the request goes with it."""
        return Pending(self._name, self._pool.submit(copy_context().run, call, self.client))


class Services:
    """All services, called with one key."""

    def __init__(self, platform: "Platform", api_key: str) -> None:
        self._platform, self._key = platform, api_key

    def named(self, name: str) -> Service[ApiClient]:
        """A service by its name, for what every service has."""
        return self._service(name, ApiClient)

    @cached_property
    def registry(self) -> Service[RegistryClient]:
        return self._service("registry", RegistryClient)

    @cached_property
    def trainer(self) -> Service[TrainerClient]:
        return self._service("trainer", TrainerClient)

    @cached_property
    def evaluator(self) -> Service[EvaluatorClient]:
        return self._service("evaluator", EvaluatorClient)

    @cached_property
    def deployer(self) -> Service[DeployerClient]:
        return self._service("deployer", DeployerClient)

    @cached_property
    def router(self) -> Service[RouterClient]:
        return self._service("router", RouterClient)

    @cached_property
    def monitor(self) -> Service[MonitorClient]:
        return self._service("monitor", MonitorClient)

    def _service(self, name: str, client: type[ClientT]) -> Service[ClientT]:
        return self._platform.service(name, client, self._key)


class Platform:
    """Addresses and connections of all services. Close it at the end.

    transports: by service, for tests; otherwise HTTP with one pool of connections per service.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        timeout_s: float,
        transports: Mapping[str, httpx.BaseTransport] | None = None,
    ) -> None:
        self.urls = dict(urls)
        self._timeout_s = timeout_s
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._transports = {
            name: _Shared((transports or {}).get(name) or httpx.HTTPTransport(retries=1, limits=limits))
            for name in self.urls
        }
        self._pool = ThreadPoolExecutor(CALLS, thread_name_prefix="calls")

    def using(self, api_key: str) -> Services:
        """The services, called with this key."""
        return Services(self, api_key)

    def service(self, name: str, client: type[ClientT], api_key: str) -> Service[ClientT]:
        """One service, called with this key."""
        return Service(name, self.client(name, client, api_key), self._pool)

    def client(self, name: str, client: type[ClientT], api_key: str, timeout_s: float | None = None) -> ClientT:
        """A client over the shared connections. timeout_s: for calls that take longer than those of a page."""
        return client(
            self.urls[name],
            api_key,
            timeout_s or self._timeout_s,
            transport=self._transports[name],
            context=outgoing_headers,
        )

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        for transport in self._transports.values():
            transport.end()


class _Shared(httpx.BaseTransport):
    """A transport that outlives the clients that use it."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Stay open: other clients use it as well."""

    def end(self) -> None:
        self._inner.close()


def explained(error: ApiError) -> dict[str, Any]:
    """What a page shows about a refused call: sentence, field and remedy."""
    detail, service = error.detail or error.title, error.body.get(SERVICE)
    return {
        "detail": f"The {service} is away: {detail}" if service and error.retryable else detail,
        "field": error.field,
        "remedy": error.body.get("remedy"),
        "status": error.status,
    }
