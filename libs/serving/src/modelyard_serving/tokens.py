"""The serving token: what callers of a model server must send."""

import hmac
from dataclasses import dataclass

from modelyard_contracts.keyring import KeyRingFile


@dataclass(frozen=True)
class FixedToken:
    """One token for the life of the process."""

    value: str

    def accepts(self, token: str) -> bool:
        return hmac.compare_digest(self.value.encode(), token.encode())


@dataclass(frozen=True)
class RotatedTokens:
    """All secrets of a key ring; the file is read again within a second of a change."""

    file: KeyRingFile

    def accepts(self, token: str) -> bool:
        return self.file.ring.accepts(token)


Tokens = FixedToken | RotatedTokens
