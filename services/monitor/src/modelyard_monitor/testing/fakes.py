"""In-memory implementations of the monitor's ports."""

from dataclasses import dataclass, field
from typing import Final

from modelyard_contracts import Message
from modelyard_contracts.keyring import KeyRing, Secret
from modelyard_contracts.manifest import ModelManifest
from modelyard_monitor.domain.watching import Lookup, Version
from modelyard_monitor.testing.samples import digest_of_manifest
from modelyard_runtime.kafka import Received

KEYS: Final = KeyRing((Secret("1", "signs the states of tests"),))
OTHER_KEYS: Final = KeyRing((Secret("1", "a secret of another installation"),))


@dataclass
class Sent:
    """A producer that collects its messages."""

    messages: list[Message] = field(default_factory=list)

    async def send(self, message: Message, key: str | None = None) -> None:
        self.messages.append(message)


@dataclass
class Letters:
    """Dead letters in memory, as (offset, reason)."""

    letters: list[tuple[int, str]] = field(default_factory=list)

    async def add(self, received: Received, reason: str) -> None:
        self.letters.append((received.offset, reason))

    async def refuse(self, received: Received, reason: str) -> None:
        await self.add(received, reason)

    def good(self, topic: str, partition: int, records: int = 1) -> None:
        pass


@dataclass
class Manifests:
    """The Manifests port in memory; `error` is raised instead of an answer."""

    known: dict[tuple[str, int], ModelManifest] = field(default_factory=dict)
    error: Exception | None = None

    def find(self, version: Version) -> Lookup:
        if self.error:
            raise self.error
        found = self.known.get(version[:2])
        if found is None or digest_of_manifest(found) != version[2]:
            return Lookup(reason="the registry has no such version")
        return Lookup.of(found)
