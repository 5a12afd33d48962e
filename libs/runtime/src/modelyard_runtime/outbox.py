"""The outbox: an event is queued in the transaction of its change; the relay sends it afterwards."""

import json
from typing import Any, Final

from sqlalchemy import Connection, insert

from modelyard_contracts import Message
from modelyard_contracts.codec import Codec
from modelyard_contracts.topics import topic
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import MessageTooLarge
from modelyard_runtime.headers import message_headers
from modelyard_runtime.tables import OUTBOX

HEADROOM_BYTES: Final = 16_384
"""Reserved below the topic's limit for key, headers and batch."""


class Outbox:
    """Queues events within one transaction.

    Events of one key are sent in the order of commits if the transaction first updates the row of that key: the lock on
    the row makes positions follow commits.
    """

    def __init__(self, connection: Connection, clock: Clock, codec: Codec) -> None:
        self._connection = connection
        self._clock = clock
        self._codec = codec
        self.added = 0
        """Events queued in this transaction."""

    def add(self, message: Message, *, key: str) -> None:
        """Encode in Confluent framing and queue; MessageTooLarge if the topic does not accept it."""
        body = self._codec.encode(message)
        limit = topic(message.TOPIC).max_message_bytes - HEADROOM_BYTES
        if len(body) > limit:
            raise MessageTooLarge(f"a {type(message).__name__} of {len(body)} bytes; {message.TOPIC} takes {limit}")
        row: dict[str, Any] = {
            "event_id": message.event_id,
            "topic": message.TOPIC,
            "key": key,
            "headers": json.dumps(message_headers(message)),
            "body": body,
            "queued_at": self._clock(),
        }
        self._connection.execute(insert(OUTBOX).values(row))
        self.added += 1
