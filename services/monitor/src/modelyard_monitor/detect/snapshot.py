"""A model's detector state as bytes: pickled, compressed, signed. Only states with our signature are unpickled.

River's detectors support no other format. The signature covers the versions of the software that wrote the state, so a
state of another release is refused before it is opened, and its model starts cold. The position is in front, as JSON.
"""

import hashlib
import hmac
import json
import pickle
import zlib
from importlib.metadata import version
from typing import Final

from modelyard_monitor.domain.state import ModelState

FORMAT: Final = 3
MAX_STATE_BYTES: Final = 64 * 1_048_576
SIGNATURE_BYTES: Final = 32


class Refused(Exception):
    """These bytes are not a state of this installation and release."""


class Snapshots:
    """Writes and reads states. The signing key is derived from a secret that all workers of an installation share."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.new(secret.encode(), b"modelyard-monitor-state", hashlib.sha256).digest()
        self._tag = f"modelyard-state:{FORMAT}:river={version('river')}\n".encode()

    def dump(self, state: ModelState) -> bytes:
        """Return the state as signed bytes."""
        position = json.dumps(state.position).encode() + b"\n"
        body = self._tag + position + zlib.compress(pickle.dumps(state, protocol=5), level=1)
        return self._sign(body) + body

    def position(self, data: bytes) -> dict[int, int]:
        """Return {partition of the slices: last applied offset} without unpickling. Raises Refused like `load`."""
        return {int(k): int(v) for k, v in json.loads(self._checked(data).split(b"\n", 1)[0]).items()}

    def load(self, data: bytes) -> ModelState:
        """Return the state; Refused when the signature or the release differ, before anything is unpickled."""
        packed = zlib.decompressobj()
        plain = packed.decompress(self._checked(data).split(b"\n", 1)[1], MAX_STATE_BYTES)
        state = pickle.loads(plain)  # noqa: S301  signature checked above
        if not isinstance(state, ModelState):
            raise Refused(f"holds a {type(state).__name__}")
        return state

    def _checked(self, data: bytes) -> bytes:
        signature, body = data[:SIGNATURE_BYTES], data[SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(body)):
            raise Refused("the signature does not match: another secret, or a foreign write to the changelog")
        if not body.startswith(self._tag):
            written = body.split(b"\n", 1)[0][:80]
            raise Refused(f"written by another release: {written!r}")
        return body[len(self._tag) :]

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()
