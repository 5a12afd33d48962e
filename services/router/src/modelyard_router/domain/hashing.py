"""One-way hashes of entity keys, the same on every router of an installation."""

import hashlib
from collections.abc import Callable
from typing import Final

from modelyard_contracts.keyring import Secret

KEY_BYTES: Final = 64
"""Longest key of BLAKE2b."""


class EntityHasher:
    """Hashes with the current secret; the hash names the secret's id, so that a rotation can be seen in the log."""

    def __init__(self, current: Callable[[], Secret]) -> None:
        self._current = current
        self.refresh()

    def refresh(self) -> None:
        """Take over a rotated secret; call it now and then, as a check per request would cost more than the hash."""
        secret = self._current()
        key = hashlib.blake2b(secret.value.encode(), digest_size=KEY_BYTES).digest()
        self._keyed, self._prefix = hashlib.blake2b(digest_size=16, key=key), f"{secret.id}."

    def __call__(self, entity_key: str | None) -> str | None:
        """`<secret id>.<32 hexadecimal digits>`, or None without an entity key."""
        if entity_key is None:
            return None
        keyed = self._keyed.copy()
        keyed.update(entity_key.encode("utf-8", "surrogatepass"))
        return self._prefix + keyed.hexdigest()
