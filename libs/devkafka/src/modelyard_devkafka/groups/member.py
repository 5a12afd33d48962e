"""One member of a consumer group, as the coordinator sees it."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any

from modelyard_devkafka.wire.schema import Message

Protocols = list[tuple[str, bytes]]


@dataclass
class Member:
    """`joining` and `syncing` are pending replies to the member."""

    id: str
    instance_id: str | None
    client_id: str
    host: str
    session_ms: int
    rebalance_ms: int
    protocols: Protocols
    assignment: bytes = b""
    deadline: float = 0.0
    joining: asyncio.Future[Message] | None = field(default=None, repr=False)
    syncing: asyncio.Future[Message] | None = field(default=None, repr=False)

    @property
    def waiting(self) -> bool:
        """A member that waits for a reply is alive, even beyond its session timeout."""
        return any(reply is not None and not reply.done() for reply in (self.joining, self.syncing))

    def metadata(self, protocol: str) -> bytes:
        return dict(self.protocols).get(protocol, b"")

    def answer_join(self, reply: Message) -> None:
        if self.joining is not None and not self.joining.done():
            self.joining.set_result(reply)
        self.joining = None

    def answer_sync(self, reply: Message) -> None:
        if self.syncing is not None and not self.syncing.done():
            self.syncing.set_result(reply)
        self.syncing = None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id, "instance_id": self.instance_id, "client_id": self.client_id, "host": self.host,
            "session_ms": self.session_ms, "rebalance_ms": self.rebalance_ms,
            "protocols": [[name, _text(data)] for name, data in self.protocols], "assignment": _text(self.assignment),
        }  # fmt: skip

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Member:
        protocols = [(name, base64.b64decode(data)) for name, data in kept["protocols"]]
        return cls(**{**kept, "protocols": protocols, "assignment": base64.b64decode(kept["assignment"])})


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
