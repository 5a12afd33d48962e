"""Kafka: topics, producers, consumer loops, dead letters. Needs no SQL and no web framework."""

from modelyard_runtime.kafka.consumer import BatchConsumer
from modelyard_runtime.kafka.dead_letters import (
    DeadLetter,
    DeadLetterLimit,
    DeadLetters,
    dead_letter_topic,
    list_dead_letters,
    resend_dead_letters,
)
from modelyard_runtime.kafka.events import EventConsumer, EventContext, Handler
from modelyard_runtime.kafka.letter_box import LetterBox, Waiting
from modelyard_runtime.kafka.options import ConsumerOptions
from modelyard_runtime.kafka.producer import Producer
from modelyard_runtime.kafka.pump import BatchFailed, BatchHandler, Lag
from modelyard_runtime.kafka.records import Received, Records
from modelyard_runtime.kafka.topics import ensure_topics

__all__ = [
    "BatchConsumer",
    "BatchFailed",
    "BatchHandler",
    "ConsumerOptions",
    "DeadLetter",
    "DeadLetterLimit",
    "DeadLetters",
    "EventConsumer",
    "EventContext",
    "Handler",
    "Lag",
    "LetterBox",
    "Producer",
    "Received",
    "Records",
    "Waiting",
    "dead_letter_topic",
    "ensure_topics",
    "list_dead_letters",
    "resend_dead_letters",
]
