"""A model's detector state as bytes: pickled, compressed, signed. Only states with our signature are unpickled.

River's detectors support no other format. The signature covers the versions of the software that wrote the state. A
state that this release cannot read is refused before it is opened, and its detectors restart without history. The
position is in front, as JSON.

Layout: `<secret id>:<signature in hex>\n<release>\n<position>\n<state>`.
"""

import hmac
import json
import pickle
import zlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from modelyard_contracts.keyring import KeyRing
from modelyard_monitor.domain.state import ModelState

FORMAT: Final = 6
READABLE: Final = (4, 5, 6)
"""Formats that this release reads: states of formats 4 and 5 lack fields, which start empty."""
MAX_STATE_BYTES: Final = 64 * 1_048_576
PURPOSE: Final = "monitor-state"


class Refused(Exception):
    """These bytes are not a state of this installation and release."""


class Snapshots:
    """Writes and reads states.

    secrets: returns the key ring that all workers of an installation share. States are signed with its current secret,
    and accepted with any of them; a state whose secret was dropped is refused.
    """

    def __init__(self, secrets: Callable[[], KeyRing]) -> None:
        self._secrets = secrets
        self._release = _release(FORMAT)
        self._readable = {_release(one) for one in READABLE}

    def dump(self, state: ModelState) -> bytes:
        """Return the state as signed bytes."""
        packed = zlib.compress(pickle.dumps(state, protocol=5), level=1)
        body = b"\n".join((self._release, json.dumps(state.position).encode(), packed))
        secret = self._secrets().current
        return f"{secret.id}:{secret.sign(body, PURPOSE)}\n".encode() + body

    def position(self, data: bytes) -> dict[int, int]:
        """Return {partition of the slices: last applied offset} without unpickling. Raises Refused like `load`."""
        return {int(k): int(v) for k, v in json.loads(self._checked(data)[0]).items()}

    def load(self, data: bytes) -> ModelState:
        """Return the state; Refused when the signature or the release differ, before anything is unpickled."""
        plain = zlib.decompressobj().decompress(self._checked(data)[1], MAX_STATE_BYTES)
        state = pickle.loads(plain)  # noqa: S301  signature checked above
        if not isinstance(state, ModelState):
            raise Refused(f"holds a {type(state).__name__}")
        return state

    def _checked(self, data: bytes) -> tuple[bytes, bytes]:
        """Return position and packed state of a genuine snapshot."""
        head, _, body = data.partition(b"\n")
        secret_id, _, signature = head.decode("ascii", "replace").partition(":")
        secret = self._secrets().find(secret_id)
        if secret is None or not hmac.compare_digest(secret.sign(body, PURPOSE).encode(), signature.encode()):
            raise Refused("the signature does not match: another secret, or a foreign write to the changelog")
        release, _, rest = body.partition(b"\n")
        if release not in self._readable:
            raise Refused(f"written by another release: {release[:80]!r}")
        position, _, packed = rest.partition(b"\n")
        return position, packed


def _release(number: int) -> bytes:
    return f"modelyard-state:{number}:river={version('river')}".encode()
