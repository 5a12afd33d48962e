"""Dead letters of a service: listed newest first, handled again by the service itself, and by HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modelyard_devstack.testing import eventually
from modelyard_devstack.testing.access import role_keys, walk_access
from modelyard_runtime.access import Authenticator
from modelyard_runtime.errors import Conflict, Unavailable
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.http.dead_letters import add_dead_letters
from modelyard_runtime.http.resends import Resending
from modelyard_runtime.kafka import DeadLetter, DeadLetterLimit, LetterBox, Waiting

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
ADMIN = {"Authorization": "Bearer admin@*"}


class NotNow(ValueError):
    retryable = False


class Reader:
    """Handles toys; `fails` refuses them."""

    def __init__(self) -> None:
        self.fails, self.handled = True, list[int]()

    async def __call__(self, toy: Any, _: Any) -> None:
        if self.fails:
            raise NotNow(f"number {toy.number} is not for now")
        self.handled.append(toy.number)


@pytest.mark.server
async def test_letters_are_listed_newest_first_and_handled_again_up_to_the_one_that_was_seen(toys: Any) -> None:
    reader = Reader()
    async with toys.consuming(reader) as consumer:
        box = LetterBox(toys.bootstrap, "toyreader", dict.fromkeys(consumer.topics, consumer.again))
        assert await box.waiting(10) == []
        await toys.send("a", range(3))
        await eventually_letters(toys, 3)
        [waiting] = await box.waiting(2)
        assert (waiting.count, [one.reason for one in waiting.newest]) == (3, [why(2), why(1)])

        reader.fails = False
        assert await box.handle_again(toys.name, waiting.newest[1].position, 100) == 2
        assert reader.handled == [0, 1], "the third one was not seen"
        [waiting] = await box.waiting(10)
        assert (waiting.count, waiting.newest[0].reason) == (1, why(2))

        reader.fails = True
        assert await box.handle_again(toys.name, waiting.newest[0].position, 100) == 1
        [waiting] = await box.waiting(10)
        assert (waiting.count, waiting.newest[0].reason) == (1, why(2)), "failed again: a new letter"


@pytest.mark.server
async def test_records_of_batches_are_listed_only(toys: Any) -> None:
    async with toys.consuming(Reader()):
        await toys.send("a", [7])
        await eventually_letters(toys, 1)
    box = LetterBox(toys.bootstrap, "toyreader", {toys.name: None, "not.there.v1": None})
    assert [(one.count, one.can_resend) for one in await box.waiting(10)] == [(1, False)]
    with pytest.raises(Conflict, match=f"modelyard dead-letters resend {toys.name} toyreader"):
        await box.handle_again(toys.name, 0, 100)


def why(number: int) -> str:
    return f"NotNow: number {number} is not for now"


async def eventually_letters(toys: Any, count: int) -> None:
    """Wait until that number of letters is written."""

    async def written() -> bool:
        return len(await toys.dead_letters()) == count

    await eventually(written, 60)


# ---- HTTP


class Stub:
    """Letters in memory."""

    topics = ("a.v1", "b.v1")

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.error: Exception | None = None
        self.recorded: list[Resending] = []
        self.unavailable = False

    async def record(self, found: Resending) -> None:
        if self.unavailable:
            raise Unavailable("the registry is away")
        self.recorded.append(found)

    async def waiting(self, limit: int) -> list[Waiting]:
        return [
            Waiting("a.v1", 7, (letter("a.v1", 9, minute=5), letter("a.v1", 8, minute=1))[:limit], True),
            Waiting("b.v1", 1, (letter("b.v1", 0, minute=3),), False),
        ]

    async def handle_again(self, topic: str, through: int, limit: int) -> int:
        if self.error:
            raise self.error
        self.asked.append((topic, through, limit))
        return 4


def letter(topic: str, position: int, minute: int) -> DeadLetter:
    return DeadLetter(
        topic, 2, 40, "Undecodable: truncated", None, AT.replace(minute=minute), b"k", b"xyz", [], position
    )


def app_of(stub: Stub, keys: Authenticator | None = None) -> FastAPI:
    app = create_app(service="toys", authenticator=keys or role_keys(), readiness=Readiness())
    add_dead_letters(app, stub, stub.record)
    return app


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def http(stub: Stub) -> Iterator[TestClient]:
    with TestClient(app_of(stub), headers=ADMIN) as client:
        yield client


def test_letters_of_all_topics_are_merged_newest_first_and_bounded(http: TestClient) -> None:
    found = http.get("/v1/dead-letters", params={"limit": 2}).json()
    assert [(one["topic"], one["position"]) for one in found["items"]] == [("a.v1", 9), ("b.v1", 0)]
    assert found["items"][0] | {"at": ""} == {
        "topic": "a.v1",
        "partition": 2,
        "offset": 40,
        "position": 9,
        "at": "",
        "bytes": 3,
        "reason": "Undecodable: truncated",
    }
    assert [(one["topic"], one["count"], one["can_resend"]) for one in found["topics"]] == [
        ("a.v1", 7, True),
        ("b.v1", 1, False),
    ]
    assert http.get("/v1/dead-letters", params={"limit": 201}).status_code == 422


def test_letters_are_sent_again_with_a_reason(http: TestClient, stub: Stub) -> None:
    body = {"topic": "a.v1", "through": 9, "reason": "the schema is registered now"}
    assert http.post("/v1/dead-letters/resend", json=body).json() == {"handled": 4}
    assert stub.asked == [("a.v1", 9, 200)]
    assert [(one.topic, one.through, one.reason) for one in stub.recorded] == [
        ("a.v1", 9, "the schema is registered now")
    ]
    for wrong in ({"reason": " "}, {"through": -1}, {"topic": "c.v1"}):
        assert http.post("/v1/dead-letters/resend", json=body | wrong).status_code == 422, wrong
    assert len(stub.asked) == 1


def test_letters_whose_reason_cannot_be_recorded_are_not_handled(http: TestClient, stub: Stub) -> None:
    stub.unavailable = True
    body = {"topic": "a.v1", "through": 9, "reason": "again"}
    assert http.post("/v1/dead-letters/resend", json=body).status_code == 503
    assert stub.asked == []


def test_letters_that_fail_past_the_limit_are_a_conflict(http: TestClient, stub: Stub) -> None:
    stub.error = DeadLetterLimit("100 in a row already")
    answer = http.post("/v1/dead-letters/resend", json={"topic": "a.v1", "through": 9, "reason": "again"})
    assert (answer.status_code, "100 in a row" in answer.json()["detail"]) == (409, True)


def test_only_admins_see_and_resend_dead_letters(http: TestClient) -> None:
    for role in ("viewer@*", "developer@*", "release-manager@*", "admin@default"):
        answer = http.get("/v1/dead-letters", headers={"Authorization": f"Bearer {role}"})
        assert answer.status_code == 403, role


async def test_every_endpoint_grants_each_role_what_the_rules_say(stub: Stub) -> None:
    assert await walk_access(lambda keys: app_of(stub, keys), samples={}) > 5
