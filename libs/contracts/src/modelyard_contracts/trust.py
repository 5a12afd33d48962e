"""The trust document: public keys of every service, and of upstream producers that may write requests."""

from typing import Annotated, ClassVar, Final

from pydantic import Field

from modelyard_contracts.documents import Document
from modelyard_contracts.messages.base import Part
from modelyard_contracts.topics import TopicSpec

ANY_WRITER: Final = "any"
"""In the writers of a topic: signers that the trust document names for it."""
MAX_KEYS: Final = 64
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class PublicKey(Part):
    """An Ed25519 public key."""

    id: Name
    key: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$")
    """32 bytes in base64url without padding."""


class Signer(Part):
    """A service, or an upstream producer."""

    name: Name
    topics: tuple[str, ...] = ()
    """Request topics that an upstream producer may write. A service writes the topics whose `writers` name it."""
    keys: tuple[PublicKey, ...] = Field(max_length=MAX_KEYS)
    """All are accepted. Retired ones stay, as events that they signed are still in Kafka; a stolen one is removed."""


class TrustDocument(Document):
    """Who may sign what; the same file for all services."""

    DOCUMENT: ClassVar[str] = "trust document"

    signers: tuple[Signer, ...] = Field(max_length=1_000)

    def keys_for(self, topic: TopicSpec) -> dict[tuple[str, str], str]:
        """The keys that may sign events of a topic, by signer and key id."""
        return {
            (signer.name, key.id): key.key for signer in self.signers if may_write(signer, topic) for key in signer.keys
        }


def may_write(signer: Signer, topic: TopicSpec) -> bool:
    """Whether the events of a topic may be signed by `signer`."""
    if signer.name in writers_of(topic):
        return True
    return ANY_WRITER in topic.writers and topic.name in signer.topics


def writers_of(topic: TopicSpec) -> tuple[str, ...]:
    """The services that write a topic: `monitor.ingest` is part of the service `monitor`."""
    return tuple(dict.fromkeys(writer.split(".")[0] for writer in topic.writers))
