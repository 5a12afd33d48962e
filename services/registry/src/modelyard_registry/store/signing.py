"""Presigned URLs: Signature Version 4 of AWS in the query of a URL."""

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self
from urllib.parse import quote, urlsplit

ALGORITHM: Final = "AWS4-HMAC-SHA256"
PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Credentials:
    """Of the standard AWS_* variables. They are never part of an error or a log line."""

    key_id: str
    secret: str
    session_token: str | None

    @classmethod
    def from_environment(cls) -> Self | None:
        """Return None when the credentials are not static, such as those of an instance role."""
        key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not key_id or not secret:
            return None
        return cls(key_id, secret, os.environ.get("AWS_SESSION_TOKEN") or None)

    def __repr__(self) -> str:
        return f"Credentials({self.key_id!r})"


@dataclass(frozen=True)
class Signer:
    """Signs requests to one region."""

    credentials: Credentials
    region: str

    def presigned(
        self,
        method: str,
        url: str,
        at: datetime,
        expires_s: int,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Return a URL that allows one kind of request until `expires_s` seconds after `at` (UTC).

        url: without query; its path is quoted already. headers: the request must have them with these values.
        """
        stamp = at.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        signed = {"host": host_of(url), **{name.lower(): value.strip() for name, value in (headers or {}).items()}}
        names = ";".join(sorted(signed))
        full = {
            **(query or {}),
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{self.credentials.key_id}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(expires_s),
            "X-Amz-SignedHeaders": names,
        }
        if self.credentials.session_token:
            full["X-Amz-Security-Token"] = self.credentials.session_token
        text = "&".join(f"{_quoted(name)}={_quoted(full[name])}" for name in sorted(full))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        canonical = "\n".join((method, urlsplit(url).path or "/", text, lines, names, "UNSIGNED-PAYLOAD"))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = self._signature(scope, "\n".join((ALGORITHM, stamp, scope, digest)))
        return f"{url}?{text}&X-Amz-Signature={signature}"

    def proof(self, text: str) -> str:
        """Return an HMAC-SHA256 of the text in hexadecimal digits, which says nothing about the secret."""
        key = hmac.digest(self.credentials.secret.encode(), b"modelyard direct upload", "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()

    def _signature(self, scope: str, text: str) -> str:
        key = f"AWS4{self.credentials.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()


def host_of(url: str) -> str:
    """The header Host of a request: without the port if it is the usual one."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return host.removesuffix(f":{PORTS.get(parts.scheme)}")


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")
