"""The signed bytes of an event, and the header that carries the signature."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

HEADER: Final = "modelyard-signature"
VERSION: Final = "1"
_PREFIX: Final = b"modelyard-event-1"
_SIGNATURE_BYTES: Final = 64
_MAX_HEADER_BYTES: Final = 256


class Record(Protocol):
    """A record as its reader received it (modelyard_runtime.kafka.Received)."""

    @property
    def topic(self) -> str: ...

    @property
    def key_bytes(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def raw_headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Signature(NamedTuple):
    """Who signed, with which key, and the signature."""

    signer: str
    key_id: str
    value: bytes

    def text(self) -> str:
        """The value of the header: `1.<signer>.<key id>.<base64url>`."""
        return ".".join((VERSION, self.signer, self.key_id, encoded(self.value)))


def parse(header: bytes) -> Signature | None:
    """The signature in a header's value; None if it has another form."""
    if len(header) > _MAX_HEADER_BYTES:
        return None
    parts = header.decode("utf-8", "replace").split(".")
    if len(parts) != 4 or parts[0] != VERSION:
        return None
    value = decoded(parts[3])
    return Signature(parts[1], parts[2], value) if value is not None and len(value) == _SIGNATURE_BYTES else None


def frame(topic: str, key: bytes, event_id: str, signer: str, key_id: str, value: bytes) -> bytes:
    """The bytes to sign. Each part has its length in front, so that no two events have the same frame.

    Topic and key are part of it: an event that was signed for one topic or one model is refused on another.
    """
    parts = (topic.encode(), key, event_id.encode(), signer.encode(), key_id.encode(), value)
    return _PREFIX + b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def encoded(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes | None:
    """The bytes of base64url without padding; None for other text."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
