"""Secrets with ids, so that each can be rotated: the first of a file is used, the others are still accepted."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from modelyard_contracts.reloading import ReloadedFile

MIN_SECRET_CHARS: Final = 16
ID_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class InvalidKeyRing(ValueError):
    """The file of a key ring cannot be used; the text names the line."""


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret; its value is not part of `repr`."""

    id: str
    value: str = field(repr=False)

    def sign(self, data: bytes, purpose: str = "") -> str:
        """HMAC-SHA256 of `data`, in hex; `purpose` separates uses of one secret."""
        return hmac.new(self.value.encode(), purpose.encode() + b"\0" + data, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Secrets of one purpose, the current one first. Never empty."""

    secrets: tuple[Secret, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read lines `id:secret`; blank lines and lines that start with `#` are skipped."""
        found: list[Secret] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            found.append(_parsed(line.strip(), number))
        if not found:
            raise InvalidKeyRing("no secret in it; write one line `id:secret`")
        if len({secret.id for secret in found}) < len(found):
            raise InvalidKeyRing("two secrets have the same id; give each its own")
        return cls(tuple(found))

    @classmethod
    def fresh(cls, count: int = 1) -> Self:
        """A ring of random secrets."""
        ring = cls(())
        for _ in range(count):
            ring = ring.with_new()
        return ring

    @property
    def current(self) -> Secret:
        """The secret to sign and send with."""
        return self.secrets[0]

    def find(self, secret_id: str) -> Secret | None:
        """The secret with that id, or None once it was dropped."""
        return next((secret for secret in self.secrets if secret.id == secret_id), None)

    def accepts(self, value: str) -> bool:
        """Whether `value` is one of the secrets; constant time per secret."""
        given = value.encode()
        return sum(hmac.compare_digest(secret.value.encode(), given) for secret in self.secrets) > 0

    def with_new(self) -> Self:
        """The ring with a new random secret at its end: accepted, not yet used."""
        used = [int(secret.id) for secret in self.secrets if secret.id.isdigit()]
        return type(self)((*self.secrets, Secret(str(max(used, default=0) + 1), secrets.token_urlsafe(32))))

    def with_current(self, secret_id: str) -> Self:
        """The ring with that secret first."""
        chosen = [secret for secret in self.secrets if secret.id == secret_id]
        return type(self)((*chosen, *(secret for secret in self.secrets if secret.id != secret_id)))

    def only(self, count: int) -> Self:
        """The ring with its first `count` secrets; the others are no longer accepted."""
        return type(self)(self.secrets[:count])

    def text(self) -> str:
        """The form in a file."""
        return "".join(f"{secret.id}:{secret.value}\n" for secret in self.secrets)

    def __iter__(self) -> Iterator[Secret]:
        return iter(self.secrets)


class KeyRingFile(ReloadedFile[KeyRing]):
    """A key ring in a file."""

    def __init__(self, path: Path) -> None:
        """Read it; OSError or InvalidKeyRing when it cannot be used."""
        super().__init__(path, lambda content: KeyRing.parse(content.decode()))

    @property
    def ring(self) -> KeyRing:
        """The ring as it is now; the last usable one while the file cannot be read."""
        return self.content


def _parsed(line: str, number: int) -> Secret:
    secret_id, found, value = line.partition(":")
    if not found or ID_PATTERN.fullmatch(secret_id) is None:
        raise InvalidKeyRing(f"line {number}: must be `id:secret` with an id of lower-case letters, digits and hyphens")
    if len(value) < MIN_SECRET_CHARS:
        raise InvalidKeyRing(f"line {number}: the secret {secret_id} is shorter than {MIN_SECRET_CHARS} characters")
    return Secret(secret_id, value)
