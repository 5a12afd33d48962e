"""Encryption at rest: every blob has a key of its own, which is stored beside it, wrapped by the master key.

Format: a header of HEADER_BYTES (magic, length and JSON, padded with zeros), then chunks of CHUNK_BYTES, each encrypted
with AES-256-GCM (NIST SP 800-38D). The nonce of a chunk is its number, as every blob has a key of its own.
As associated data a chunk has the digest of the blob, its number and whether it is the last, so that chunks can be
neither swapped, nor dropped, nor moved to another blob.
"""

import base64
import json
import os
from collections.abc import Iterator
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from modelyard_contracts.keyring import KeyRing, KeyRingFile, Secret
from modelyard_runtime.errors import Unavailable

MAGIC: Final = b"MODELYARD-SEALED-1\n"
HEADER_BYTES: Final = 1_024
CHUNK_BYTES: Final = 1 << 20
TAG_BYTES: Final = 16
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class Unsealable(Unavailable):
    """A blob cannot be decrypted now: its master key is missing or another one."""

    code = "blob_unreadable"


class Altered(Unsealable):
    """The stored bytes of a blob are not those that were written."""

    code = "blob_altered"


class MasterKeys(Protocol):
    """Wraps the keys of blobs: a file of secrets, or a key management service."""

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """Return the id of the master key that was used, and the wrapped key."""

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """Return the key; Unsealable when the master key is not there or does not fit."""


class RingMasterKeys:
    """Master keys from a key ring: new blobs use the first secret; the others still open older blobs."""

    def __init__(self, ring: KeyRingFile) -> None:
        self._ring = ring

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        secret = self._keys().current
        nonce = os.urandom(NONCE_BYTES)
        return secret.id, nonce + AESGCM(_derived(secret)).encrypt(nonce, key, secret.id.encode())

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        secret = self._keys().find(key_id)
        if secret is None:
            raise Unsealable(f"no master key {key_id!r} in ARTIFACT_KEY_FILE; put its line back")
        try:
            return AESGCM(_derived(secret)).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], key_id.encode())
        except InvalidTag as error:
            raise Unsealable(f"the master key {key_id!r} in ARTIFACT_KEY_FILE is not the one it was") from error

    def _keys(self) -> KeyRing:
        return self._ring.ring


def _derived(secret: Secret) -> bytes:
    """A key of 256 bits from a secret of any length (HKDF, RFC 5869)."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"modelyard artifact master key").derive(secret.value.encode())


class Sealing:
    """Encrypts one blob while it is received: `header`, then `add` and at the end `last`."""

    def __init__(self, keys: MasterKeys, digest: str) -> None:
        key = AESGCM.generate_key(8 * KEY_BYTES)
        key_id, wrapped = keys.wrap(key)
        self.header = _header(key_id, wrapped)
        self._cipher = AESGCM(key)
        self._digest, self._number, self._held = digest, 0, bytearray()

    def add(self, data: bytes) -> bytes:
        """Encrypted bytes that are complete so far; the last chunk is always held back."""
        self._held += data
        sealed = bytearray()
        while len(self._held) > CHUNK_BYTES:
            sealed += self._chunk(bytes(self._held[:CHUNK_BYTES]), last=False)
            del self._held[:CHUNK_BYTES]
        return bytes(sealed)

    def last(self) -> bytes:
        return self._chunk(bytes(self._held), last=True)

    def _chunk(self, data: bytes, *, last: bool) -> bytes:
        nonce, bound = _nonce(self._number), _bound(self._digest, self._number, last)
        self._number += 1
        return self._cipher.encrypt(nonce, data, bound)


def sealed_size(stored_bytes: int) -> int:
    """Size of a blob from the size of its sealed object."""
    body = stored_bytes - HEADER_BYTES
    chunks = max(1, -(-body // (CHUNK_BYTES + TAG_BYTES)))
    return body - chunks * TAG_BYTES


def sealed_span(start: int, stop: int, size: int) -> tuple[int, int, int]:
    """First chunk, and the bytes of the sealed object to read, for the bytes [start, stop) of a blob of `size`."""
    first, last = start // CHUNK_BYTES, max(start, stop - 1) // CHUNK_BYTES
    step = CHUNK_BYTES + TAG_BYTES
    end = min((last + 1) * CHUNK_BYTES, size) + (last + 1) * TAG_BYTES
    return first, HEADER_BYTES + first * step, HEADER_BYTES + end


def unseal(
    keys: MasterKeys, digest: str, header: bytes, body: Iterator[bytes], *, first: int, start: int, stop: int, size: int
) -> Iterator[bytes]:
    """Decrypt the bytes [start, stop) of a blob of `size` bytes; body: its sealed chunks from number `first` on."""
    cipher = AESGCM(keys.unwrap(*_read_header(digest, header)))
    final = max(size - 1, 0) // CHUNK_BYTES
    for number, sealed in enumerate(_rechunked(body), first):
        try:
            chunk = cipher.decrypt(_nonce(number), sealed, _bound(digest, number, number == final))
        except InvalidTag as error:
            raise Altered(f"the stored bytes of {digest} were changed; restore them from a backup") from error
        offset = number * CHUNK_BYTES
        yield chunk[max(start - offset, 0) : stop - offset]


def _rechunked(body: Iterator[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in body:
        held += piece
        while len(held) >= CHUNK_BYTES + TAG_BYTES:
            yield bytes(held[: CHUNK_BYTES + TAG_BYTES])
            del held[: CHUNK_BYTES + TAG_BYTES]
    if held:
        yield bytes(held)


def _header(key_id: str, wrapped: bytes) -> bytes:
    document = json.dumps({"key_id": key_id, "key": base64.b64encode(wrapped).decode()}).encode()
    header = MAGIC + len(document).to_bytes(4, "big") + document
    if len(header) > HEADER_BYTES:
        raise ValueError(f"a wrapped key of {len(wrapped)} bytes does not fit the header")
    return header.ljust(HEADER_BYTES, b"\0")


def _read_header(digest: str, header: bytes) -> tuple[str, bytes]:
    start = len(MAGIC) + 4
    changed = Altered(f"the header of {digest} was changed; restore the object from a backup")
    if not header.startswith(MAGIC):
        raise changed
    try:
        length = int.from_bytes(header[len(MAGIC) : start], "big")
        document = json.loads(header[start : start + length])
        return str(document["key_id"]), base64.b64decode(document["key"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise changed from error


def _nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "big")


def _bound(digest: str, number: int, last: bool) -> bytes:
    return f"{digest} {number} {'last' if last else 'more'}".encode()
