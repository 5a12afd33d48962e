"""In-memory implementations of the monitor's ports."""

from dataclasses import dataclass, field

from modelyard_contracts import Message
from modelyard_contracts.manifest import ModelManifest
from modelyard_runtime.kafka import Received


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

    def good(self, topic: str, partition: int, records: int = 1) -> None:
        pass


@dataclass
class Manifests:
    """The Manifests port in memory; `error` is raised instead of an answer."""

    known: dict[tuple[str, int], ModelManifest] = field(default_factory=dict)
    error: Exception | None = None

    def manifest(self, model: str, version: int, digest: str) -> ModelManifest | None:
        if self.error:
            raise self.error
        found = self.known.get((model, version))
        return found if found and found.digest == digest else None
