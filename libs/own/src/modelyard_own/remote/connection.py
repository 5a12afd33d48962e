"""HTTP to one hub or registry: its token stays with its host, refusals name the remedy, failed calls are repeated."""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Final, Self

import httpx

from modelyard.errors import RETRYABLE_STATUS, ApiError, ApiUnavailable
from modelyard_own.errors import UnfitModel

ATTEMPTS: Final = 5
"""Failures in a row before a call is given up, with pauses of 1, 2, 4 and 8 s."""
FIRST_PAUSE_S: Final = 1.0
TIMEOUT_S: Final = 30.0
"""For connecting and for each read, not for a whole file."""
MAX_ANSWER_BYTES: Final = 64 << 20
"""Of a list of files or a description; a repository has some hundred files."""
Pause = Callable[[float], None]


@dataclass(frozen=True)
class Access:
    """Address of a server and the token for it. token_variable: environment variable that holds the token."""

    endpoint: str
    token: str = field(repr=False)
    token_variable: str
    cookie: str = ""
    """Name of a cookie in which the server wants its token as well."""
    user: str = ""
    """Name whose password the token is; empty for a bearer token."""
    option: str = "--endpoint"
    """Option of the command that has the address."""

    def headers(self) -> dict[str, str]:
        """Headers that carry the token; none without a token."""
        if not self.token:
            return {}
        cookie = {"cookie": f"{self.cookie}={self.token}"} if self.cookie else {}
        if self.user:
            pair = b64encode(f"{self.user}:{self.token}".encode()).decode()
            return {"authorization": f"Basic {pair}"}
        return {"authorization": f"Bearer {self.token}", **cookie}


class Connection:
    """Calls to one server. Close it, or use it in a `with`.

    transport: an httpx transport, for tests. pause: waits between attempts, of which there are `attempts` in a row.
    timeout_s: for connecting and for each read.
    The token goes to the host of the endpoint only: redirects to another host, such as that of the files, carry none.
    Redirects of an https server lead to https only.
    """

    def __init__(
        self,
        access: Access,
        transport: httpx.BaseTransport | None = None,
        pause: Pause | None = None,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.access, self._pause, self._attempts = access, pause or time.sleep, attempts
        self._host = _checked(access)
        self._http = httpx.Client(
            timeout=timeout_s,
            transport=transport,
            follow_redirects=True,
            headers={"accept-encoding": "identity"},
            event_hooks={"request": [self._check_scheme]},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    @property
    def endpoint(self) -> str:
        return self.access.endpoint.rstrip("/")

    def patience(self) -> "Patience":
        """A new count of failures in a row."""
        return Patience(self._pause, self._attempts)

    def json(self, url: str, repo: str, parameters: Mapping[str, str] | None = None) -> tuple[Any, httpx.Headers]:
        """Return an answer and its headers. url: an address of this server; another host is refused."""
        patience = self.patience()
        while True:
            try:
                with self.stream(url, repo, parameters=parameters) as response:
                    return _parsed(response), response.headers
            except ApiUnavailable as error:
                patience.failed(error)

    @contextmanager
    def stream(
        self, url: str, repo: str, start: int = 0, parameters: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Open an answer, for a file from byte `start`. ApiUnavailable if a repetition may help, else ApiError."""
        if httpx.URL(url).netloc != self._host.netloc or httpx.URL(url).scheme != self._host.scheme:
            raise ApiError(0, "other_host", f"the answer names an address outside of {self.endpoint}", url)
        headers = self.access.headers() | ({"range": f"bytes={start}-"} if start else {})
        try:
            with self._http.stream("GET", url, params=parameters, headers=headers) as response:
                if not response.is_success:
                    raise self._refused(response, repo)
                yield response
        except httpx.HTTPError as error:
            raise ApiError.unreachable(self.endpoint, error) from error

    def _check_scheme(self, request: httpx.Request) -> None:
        if self._host.scheme == "https" and request.url.scheme != "https":
            raise ApiError(0, "no_https", f"{self.endpoint} redirects to an address without https", request.url.host)

    def _refused(self, response: httpx.Response, repo: str) -> ApiError:
        status = response.status_code
        cls = ApiUnavailable if status in RETRYABLE_STATUS else ApiError
        return cls(status, response.headers.get("x-error-code", "refused"), f"{repo}: refused", self._remedy(response))

    def _remedy(self, response: httpx.Response) -> str:
        """What to do about a refusal."""
        variable, code = self.access.token_variable, response.headers.get("x-error-code", "")
        if code == "GatedRepo":
            return f"the repository is gated: accept its terms on its page at {self.endpoint}, and set {variable}"
        if response.status_code in (401, 403):
            if self.access.token:
                return f"the token in {variable} may not read it; check the name, or use a token that may"
            return f"it does not exist, or is private or gated; check the name, or set {variable} to a token"
        if response.status_code == 404:
            return f"no such repository, revision or file; a private one needs a token in {variable}"
        return response.reason_phrase or "no reason given"


class Patience:
    """Counts failures in a row, and pauses after each; progress starts the count again."""

    def __init__(self, pause: Pause, attempts: int = ATTEMPTS) -> None:
        self._pause, self._attempts, self._failures = pause, attempts, 0

    def progressed(self) -> None:
        """Bytes have arrived since the last failure."""
        self._failures = 0

    def failed(self, error: ApiError) -> None:
        """Pause, or raise the error after the last attempt."""
        self._failures += 1
        if self._failures >= self._attempts:
            raise error
        self._pause(FIRST_PAUSE_S * 2.0 ** (self._failures - 1))


def _checked(access: Access) -> httpx.URL:
    """The parsed endpoint; UnfitModel for one that cannot be used."""
    try:
        url = httpx.URL(access.endpoint)
    except httpx.InvalidURL as error:
        raise UnfitModel(f"{access.option} {access.endpoint}: is no address; write https://HOST") from error
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise UnfitModel(
            f"{access.option}: write https://HOST, without a name and password; set {access.token_variable}"
        )
    if access.token and url.scheme == "http" and not _is_local(url.host):
        raise UnfitModel(
            f"{access.option} {access.endpoint}: the token of {access.token_variable} is sent over https only"
        )
    return url


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _parsed(response: httpx.Response) -> Any:
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            raise ApiError(0, "too_large", "the answer is too large", str(response.url.copy_with(query=None)))
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        where = str(response.url.copy_with(query=None))
        raise ApiError(0, "not_json", "the answer is not JSON", f"{where}; is it such a server?") from error
