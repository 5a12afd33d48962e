"""Checking of signatures against the trust document."""

import time
from collections.abc import Callable
from pathlib import Path

from modelyard_contracts.documents import read
from modelyard_contracts.reloading import ReloadedFile
from modelyard_contracts.topics import all_topics, topic
from modelyard_contracts.trust import ANY_WRITER, TrustDocument, writers_of
from modelyard_runtime.errors import ModelyardError
from modelyard_runtime.headers import CE_ID
from modelyard_runtime.signing.frame import HEADER, Record, Signature, decoded, frame, parse


class NotSigned(ModelyardError):
    """The event is not signed by a writer of its topic; it is never applied."""

    code = "not_signed"


class Trust:
    """The keys that may sign the events of each topic."""

    def __init__(self, document: TrustDocument) -> None:
        """ValueError when a key is no point of the curve."""
        # Imported here and in `check`: 8 MiB of every service that only a deployment with signatures needs.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        self.document = document
        self._keys = {
            spec.name: {
                where: Ed25519PublicKey.from_public_bytes(decoded(key) or b"")
                for where, key in document.keys_for(spec).items()
            }
            for spec in all_topics()
            if spec.signed
        }

    def check(self, record: Record) -> None:
        """NotSigned unless the record's signature is that of a writer of its topic, or the topic is not signed."""
        from cryptography.exceptions import InvalidSignature

        keys = self._keys.get(record.topic)
        if keys is None:
            return
        signature = _signature_of(record)
        key = keys.get((signature.signer, signature.key_id))
        if key is None:
            raise _refused(record, f"the trust document has no key {signature.key_id[:32]} of {signature.signer[:32]}")
        try:
            key.verify(signature.value, _frame_of(record, signature))
        except InvalidSignature:
            raise _refused(record, f"the signature of {signature.signer} does not fit the record") from None


def _signature_of(record: Record) -> Signature:
    found = [value for name, value in record.raw_headers if name == HEADER]
    if len(found) != 1:
        raise _refused(record, f"{len(found)} headers {HEADER}")
    signature = parse(found[0] or b"")
    if signature is None:
        raise _refused(record, f"the header {HEADER} has another form")
    return signature


def _frame_of(record: Record, signature: Signature) -> bytes:
    event_id = record.headers.get(CE_ID, "")
    signer, key_id, _ = signature
    return frame(record.topic, record.key_bytes or b"", event_id, signer, key_id, record.value or b"")


def _refused(record: Record, problem: str) -> NotSigned:
    writers = [name for name in writers_of(topic(record.topic)) if name != ANY_WRITER]
    if ANY_WRITER in topic(record.topic).writers:
        writers.append("a signer that the trust document names for this topic")
    return NotSigned(f"not signed by {' or '.join(writers)}: {problem}")


class TrustFile(ReloadedFile[Trust]):
    """A trust document in a file."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read it; OSError, DocumentError or ValueError when it cannot be used."""
        super().__init__(path, lambda content: Trust(read(TrustDocument, content)), clock)

    @property
    def trust(self) -> Trust:
        """The trust as it is now; the last usable one while the file cannot be read."""
        return self.content
