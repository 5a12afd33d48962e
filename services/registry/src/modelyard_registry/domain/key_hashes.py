"""Hashes of API keys: HMAC-SHA256 under a secret that can be rotated."""

import hashlib
import hmac
from collections.abc import Callable

from modelyard_contracts.keyring import KeyRing, Secret

PURPOSE = "api-key"
HashSecrets = Callable[[], KeyRing]
"""Returns the ring as it is now; the current secret hashes new keys, older ones verify the keys they hashed."""


def hash_key(ring: KeyRing, key: str) -> tuple[str, str]:
    """Id of the current secret, and the hash of `key` under it, hexadecimal."""
    return ring.current.id, _sign(ring.current, key)


def verify_key(ring: KeyRing, key: str, secret_id: str, expected: str) -> bool:
    """Compare in constant time; False when the secret has left the ring."""
    secret = ring.find(secret_id)
    return secret is not None and hmac.compare_digest(_sign(secret, key), expected)


def derived_from(admin_key: str) -> KeyRing:
    """A ring of one secret, derived from the admin key; for installations without a secret file."""
    value = hmac.new(admin_key.encode(), b"modelyard-api-keys", hashlib.sha256).hexdigest()
    return KeyRing((Secret("admin", value),))


def _sign(secret: Secret, key: str) -> str:
    return secret.sign(key.encode("utf-8", "replace"), PURPOSE)
