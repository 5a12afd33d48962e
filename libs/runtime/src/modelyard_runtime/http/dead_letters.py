"""`/v1/dead-letters`: what this service could not handle, for operators to see and to have handled again."""

from datetime import datetime
from typing import Annotated, Final, Protocol

from fastapi import Depends, FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from modelyard_runtime.access import Principal
from modelyard_runtime.errors import Conflict, Invalid
from modelyard_runtime.http.access import allow
from modelyard_runtime.http.resends import RecordResending, Resending
from modelyard_runtime.kafka.dead_letters import DeadLetter, DeadLetterLimit
from modelyard_runtime.kafka.letter_box import Waiting
from modelyard_runtime.log import get_logger

MAX_LETTERS: Final = 200
"""Letters of one answer, and of one call of resend."""
log = get_logger(__name__)


class Letters(Protocol):
    """The dead letters of a service; see modelyard_runtime.kafka.LetterBox."""

    @property
    def topics(self) -> tuple[str, ...]: ...

    async def waiting(self, limit: int) -> list[Waiting]: ...

    async def handle_again(self, topic: str, through: int, limit: int) -> int: ...


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeadLetterInfo(Document):
    """One record that the service could not handle. Its content is not shown: it may hold personal data."""

    topic: str
    partition: int
    offset: int
    """Of the record in its topic."""
    position: int
    """Of the letter among the dead letters of the topic."""
    reason: str
    at: datetime
    bytes: int


class DeadLetterTopic(Document):
    """How many letters of a topic wait, and whether this service can handle them again."""

    topic: str
    count: int
    can_resend: bool


class DeadLetterList(Document):
    """Letters of all topics that the service reads, newest first."""

    items: tuple[DeadLetterInfo, ...]
    topics: tuple[DeadLetterTopic, ...]


class ResendRequest(Document):
    """Which letters to handle again, and why."""

    topic: Annotated[str, StringConstraints(max_length=249)]
    through: Annotated[int, Field(ge=0, lt=2**63)]
    """Position of the newest letter that was seen; later ones stay."""
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]


class Resent(Document):
    """How many letters were handled again; those that failed again are new dead letters."""

    handled: int


Reader = Annotated[Principal, Depends(allow("read-dead-letters", "service", over="all-workspaces"))]
Sender = Annotated[Principal, Depends(allow("resend", "service", over="all-workspaces"))]


def add_dead_letters(app: FastAPI, letters: Letters, record: RecordResending) -> None:
    """Add the list of dead letters and the action that handles them again, once it is recorded."""

    @app.get("/v1/dead-letters", tags=["operation"])
    async def newest(_: Reader, limit: Annotated[int, Query(ge=1, le=MAX_LETTERS)] = 100) -> DeadLetterList:
        """Return the newest dead letters of this service, and their number by topic."""
        waiting = await letters.waiting(limit)
        found = sorted((one for topic in waiting for one in topic.newest), key=lambda one: one.at, reverse=True)
        topics = (DeadLetterTopic(topic=one.topic, count=one.count, can_resend=one.can_resend) for one in waiting)
        return DeadLetterList(items=tuple(map(_info, found[:limit])), topics=tuple(topics))

    @app.post("/v1/dead-letters/resend", tags=["operation"])
    async def resend(request: ResendRequest, caller: Sender) -> Resent:
        """Handle the oldest letters of a topic again, at most 200. Letters that fail again become new ones."""
        if request.topic not in letters.topics:
            known = ", ".join(letters.topics)
            raise Invalid(f"topic: this service does not read {request.topic!r}; it reads {known}", field="topic")
        await record(Resending(request.topic, request.through, caller.identity, request.reason))
        log.info("dead letters are handled again", topic=request.topic, by=caller.identity, reason=request.reason)
        try:
            return Resent(handled=await letters.handle_again(request.topic, request.through, MAX_LETTERS))
        except DeadLetterLimit as error:
            raise Conflict(f"the letters fail again: {error}") from error


def _info(letter: DeadLetter) -> DeadLetterInfo:
    return DeadLetterInfo(
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        position=letter.position,
        reason=letter.reason,
        at=letter.at,
        bytes=len(letter.value or b""),
    )
