"""What can go wrong when an API is called."""

from typing import Any, ClassVar, Final

import httpx

RETRYABLE_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class ApiError(Exception):
    """The API refused, and would again; ApiUnavailable, a subclass, is where the same call may succeed later.

    retryable: of the class, so a consumer loop dead-letters what is refused and repeats what is only unavailable.
    status: HTTP status, 0 when there was no answer. code: a stable word such as `not_found`, `conflict`, `unreachable`.
    field: the input field at fault, where one is. body: the whole problem document.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self, status: int, code: str, title: str, detail: str = "", *, body: dict[str, Any] | None = None
    ) -> None:
        super().__init__(f"{title} ({status or code}): {detail}" if detail else f"{title} ({status or code})")
        self.status, self.code, self.title, self.detail = status, code, title, detail
        self.body: dict[str, Any] = body or {}
        self.field: str | None = self.body.get("field")

    @staticmethod
    def of(response: httpx.Response) -> "ApiError":
        """The error in an answer; problem+json where it is one, the bare text otherwise."""
        cls = ApiUnavailable if response.status_code in RETRYABLE_STATUS else ApiError
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return cls(response.status_code, "http_error", response.reason_phrase, response.text[:500])
        title = str(body.get("title") or body.get("message") or response.reason_phrase)
        code = str(body.get("code") or body.get("error_code") or "http_error")
        return cls(response.status_code, code, title, str(body.get("detail") or ""), body=body)

    @staticmethod
    def unreachable(url: str, error: Exception) -> "ApiError":
        """There was no answer; whether the call had an effect is not known."""
        return ApiUnavailable(0, "unreachable", f"no answer from {url}", f"{type(error).__name__}: {error}")


class ApiUnavailable(ApiError):
    """No answer, or one that says: not now."""

    retryable = True


class DigestMismatch(ApiError):
    """The bytes that arrived are not the bytes that were asked for; nothing of them was kept."""

    def __init__(self, what: str, expected: str, found: str) -> None:
        super().__init__(0, "digest_mismatch", "wrong bytes", f"{what}: expected {expected}, got {found}")
        self.expected, self.found = expected, found
