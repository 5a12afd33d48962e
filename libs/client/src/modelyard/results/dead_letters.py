"""Records that a service could not handle."""

from datetime import datetime

from modelyard.results.base import Result


class DeadLetter(Result):
    """One record, without its content."""

    topic: str
    partition: int
    offset: int
    """Of the record in its topic."""
    position: int
    """Of the letter among the dead letters of the topic."""
    reason: str
    at: datetime
    bytes: int = 0


class DeadLetterTopic(Result):
    """How many letters of a topic wait, and whether the service can handle them again."""

    topic: str
    count: int
    can_resend: bool = False


class DeadLetters(Result):
    """Newest first, of all topics that the service reads."""

    items: tuple[DeadLetter, ...] = ()
    topics: tuple[DeadLetterTopic, ...] = ()
