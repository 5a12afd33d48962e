"""Health probes over kept-alive connections: a quarter of the CPU time of a general HTTP client."""

from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse
from threading import Lock
from time import monotonic
from typing import Final
from urllib.parse import quote, urlsplit

from modelyard_deployer.domain.workloads import VersionKey

PATH: Final = "/v2/health/ready"
UNUSED_S: Final = 30.0


def readiness_path(key: VersionKey) -> str:
    """Of one version in a model server."""
    return f"/v2/models/{quote(key.model, safe=':')}/versions/{key.version}/ready"


class Probes:
    """Asks replicas whether they are ready. Thread-safe.

    token: the current bearer token. timeout_s: for a connection, and for its response.
    """

    def __init__(self, token: Callable[[], str], timeout_s: float) -> None:
        self._token, self._timeout_s = token, timeout_s
        self._lock = Lock()
        self._idle: dict[str, tuple[HTTPConnection, float]] = {}

    def answers(self, url: str, path: str = PATH) -> bool:
        """Whether a replica reports ready; a kept connection that it has closed is replaced once."""
        with self._lock:
            kept = self._idle.pop(url, None)
        if kept is not None:
            try:
                return self._ask(url, path, kept[0])
            except TimeoutError:
                kept[0].close()
                return False
            except (OSError, HTTPException):
                kept[0].close()
        fresh = HTTPConnection(urlsplit(url).netloc, timeout=self._timeout_s)
        try:
            return self._ask(url, path, fresh)
        except (OSError, HTTPException):
            fresh.close()
            return False

    def tidy(self) -> None:
        """Close the connections of replicas that are no longer probed."""
        old = monotonic() - UNUSED_S
        with self._lock:
            unused = [url for url, (_, used_at) in self._idle.items() if used_at < old]
            closing = [self._idle.pop(url)[0] for url in unused]
        for connection in closing:
            connection.close()

    def close(self) -> None:
        with self._lock:
            closing = [connection for connection, _ in self._idle.values()]
            self._idle.clear()
        for connection in closing:
            connection.close()

    def _ask(self, url: str, path: str, connection: HTTPConnection) -> bool:
        connection.request("GET", path, headers={"Authorization": f"Bearer {self._token()}"})
        response: HTTPResponse = connection.getresponse()
        response.read()
        with self._lock:
            before = self._idle.get(url)
            self._idle[url] = (connection, monotonic())
        if before is not None and before[0] is not connection:
            before[0].close()
        return response.status == 200
