"""Signers and a trust document for tests."""

from dataclasses import dataclass
from pathlib import Path

from modelyard_contracts import Message
from modelyard_contracts.codec import encode
from modelyard_contracts.documents import write
from modelyard_contracts.keyring import KeyRing
from modelyard_contracts.trust import Signer, TrustDocument
from modelyard_runtime.headers import message_headers
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import Received
from modelyard_runtime.signing import EventSigner, Gate, Trust, public_keys_of

SERVICES = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")


@dataclass(frozen=True)
class Signers:
    """A key ring for each service, all of them trusted."""

    rings: dict[str, KeyRing]
    document: TrustDocument

    @classmethod
    def fresh(cls, **upstreams: tuple[str, ...]) -> "Signers":
        """upstreams: name of a producer to the request topics that it may write."""
        rings = {name: KeyRing.fresh() for name in (*SERVICES, *upstreams)}
        signers = [
            Signer(name=name, topics=upstreams.get(name, ()), keys=public_keys_of(ring)) for name, ring in rings.items()
        ]
        return cls(rings, TrustDocument(signers=tuple(signers)))

    def signer(self, name: str) -> EventSigner:
        return EventSigner(name, lambda: self.rings[name])

    def gate(self, service: str, readiness: Readiness | None = None) -> Gate:
        trust = Trust(self.document)
        return Gate(service, lambda: trust, readiness)

    def received(
        self, message: Message, signer: str | None, *, offset: int = 0, value: bytes | None = None
    ) -> Received:
        """The record of a message as a reader receives it, signed by `signer`, or unsigned.

        value: bytes in the place of the message's own, signed all the same.
        """
        data = encode(message) if value is None else value
        headers = message_headers(message)
        if signer is not None:
            headers = self.signer(signer).sign(message.TOPIC, message.key.encode(), headers, data)
        return Received(message.TOPIC, 0, offset, message.key, data, headers, 1_790_000_000_000)

    def environment(self, service: str, folder: Path) -> dict[str, str]:
        """Write the files of one service; the variables that name them."""
        key, trust = folder / f"{service}.keys", folder / "trust.json"
        key.write_text(self.rings[service].text())
        trust.write_bytes(write(self.document))
        return {"MODELYARD_SIGNING_KEY_FILE": str(key), "MODELYARD_TRUST_FILE": str(trust)}
