"""A model's state as bytes: pickled, compressed, signed. Only what we signed ourselves is ever unpickled.

River's detectors know no other form. The signature covers the versions of what made it, so a state of another release
is refused before it is opened, and its model starts cold. How far the slices were applied stands in front, as JSON.
"""

import hashlib
import hmac
import json
import pickle
import zlib
from importlib.metadata import version
from typing import Final

from modelyard_monitor.domain.state import ModelState

FORMAT: Final = 2
MAX_STATE_BYTES: Final = 64 * 1_048_576


class Refused(Exception):
    """These bytes are no state of ours, or not of this release."""


class Snapshots:
    """Writes and reads states. The key is derived from the admin key, so all workers of one installation share it."""

    def __init__(self, admin_key: str) -> None:
        self._key = hmac.new(admin_key.encode(), b"modelyard-monitor-state", hashlib.sha256).digest()
        self._tag = f"modelyard-state:{FORMAT}:river={version('river')}\n".encode()

    def dump(self, state: ModelState) -> bytes:
        position = json.dumps(state.position).encode() + b"\n"
        body = self._tag + position + zlib.compress(pickle.dumps(state, protocol=5), level=1)
        return self._sign(body) + body

    def position(self, data: bytes) -> dict[int, int]:
        """{partition of the slices: last applied offset}, without opening the state; Refused as `load`."""
        return {int(k): int(v) for k, v in json.loads(self._checked(data).split(b"\n", 1)[0]).items()}

    def load(self, data: bytes) -> ModelState:
        """Refused says why; nothing is unpickled unless the signature and the release are right."""
        packed = zlib.decompressobj()
        plain = packed.decompress(self._checked(data).split(b"\n", 1)[1], MAX_STATE_BYTES)
        state = pickle.loads(plain)  # noqa: S301  signed by us, checked above
        if not isinstance(state, ModelState):
            raise Refused(f"holds a {type(state).__name__}")
        return state

    def _checked(self, data: bytes) -> bytes:
        signature, body = data[:32], data[32:]
        if not hmac.compare_digest(signature, self._sign(body)):
            raise Refused("the signature is not ours: another admin key, or somebody wrote to the changelog")
        if not body.startswith(self._tag):
            written = body.split(b"\n", 1)[0][:80]
            raise Refused(f"written by another release: {written!r}")
        return body[len(self._tag) :]

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()
