"""Signing of a service's own events."""

from collections.abc import Callable, Mapping

from modelyard_contracts.keyring import KeyRing
from modelyard_contracts.topics import all_topics
from modelyard_runtime.headers import CE_ID
from modelyard_runtime.signing.frame import HEADER, Signature, frame
from modelyard_runtime.signing.keys import private_key


class EventSigner:
    """Signs events as `name` with the current key of a ring. Safe to share between threads."""

    def __init__(self, name: str, ring: Callable[[], KeyRing]) -> None:
        self.name, self._ring = name, ring
        self._signed = {spec.name for spec in all_topics() if spec.signed}

    def sign(self, topic: str, key: bytes, headers: Mapping[str, str], value: bytes) -> dict[str, str]:
        """The headers of a message with its signature; unchanged if events of the topic are not signed."""
        if topic not in self._signed:
            return dict(headers)
        secret = self._ring().current
        data = frame(topic, key, headers.get(CE_ID, ""), self.name, secret.id, value)
        return {**headers, HEADER: Signature(self.name, secret.id, private_key(secret).sign(data)).text()}
