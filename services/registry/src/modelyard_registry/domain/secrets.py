"""The ring of key-hash secrets: API keys are stored as HMAC-SHA256 under one of them."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class HashSecrets:
    """current: id of the secret for new keys. secrets: id to secret; older ones verify the keys they hashed."""

    current: str
    secrets: Mapping[str, bytes]

    def hash(self, key: str) -> tuple[str, str]:
        """Id of the current secret, and the hash of `key` under it, hexadecimal."""
        return self.current, _hmac(self.secrets[self.current], key)

    def verify(self, key: str, secret_id: str, expected: str) -> bool:
        """Compare in constant time; False when the secret was removed from the ring."""
        secret = self.secrets.get(secret_id)
        return secret is not None and hmac.compare_digest(_hmac(secret, key), expected)


def derived_from(admin_key: str) -> HashSecrets:
    """A ring of one secret, derived from the admin key; for installations without a secret file."""
    return HashSecrets("admin", {"admin": hmac.new(admin_key.encode(), b"modelyard-api-keys", hashlib.sha256).digest()})


def parse_ring(text: str) -> HashSecrets:
    """Read lines `id:secret`, the current one first; ValueError names the line."""
    secrets: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, found, secret = line.strip().partition(":")
        if not found or not name.isidentifier() and not name.replace("-", "_").isalnum() or len(secret) < 16:
            raise ValueError(f"line {number}: write ID:SECRET with a secret of at least 16 characters")
        if name in secrets:
            raise ValueError(f"line {number}: the id {name!r} is used twice")
        secrets[name] = secret.encode()
    if not secrets:
        raise ValueError("holds no secret; write a line ID:SECRET")
    return HashSecrets(next(iter(secrets)), secrets)


def _hmac(secret: bytes, key: str) -> str:
    return hmac.new(secret, key.encode(), hashlib.sha256).hexdigest()
