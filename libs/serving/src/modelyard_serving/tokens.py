"""The serving token: what callers of a model server must send."""

import hmac

from modelyard_contracts.keyring import KeyRingFile


class Tokens:
    """Accepted tokens: a fixed one, and all secrets of a key ring, whose file is read again after a change.

    token: the fixed one; empty accepts the key ring only.
    """

    def __init__(self, token: str = "", ring: KeyRingFile | None = None) -> None:
        if not token and ring is None:
            raise ValueError("no token: every caller would be refused")
        self._token, self._ring = token, ring

    def accepts(self, token: str) -> bool:
        """Whether a caller may send this token."""
        fixed = bool(self._token) and hmac.compare_digest(self._token.encode(), token.encode())
        return fixed or (self._ring is not None and self._ring.ring.accepts(token))
