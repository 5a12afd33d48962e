"""One bad event or document of each kind, in front of the real services: it disturbs no other model."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import Any, Final
from uuid import uuid4

import fastavro
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from modelyard_contracts import (
    MESSAGES,
    AlertRaised,
    DriftDetected,
    EvaluationFinished,
    EvaluationRequested,
    Message,
    OffsetRange,
    ResourceChange,
    ResourceChanged,
    RolloutAction,
    RolloutChanged,
    RolloutRequested,
    RolloutState,
    RolloutStrategy,
    RouteApplied,
    RoutePublished,
    SliceSource,
    SliceSummarised,
    TrainingRunChanged,
    TrainingRunRequested,
    Verdict,
)
from modelyard_contracts.codec import CONFLUENT_MAGIC, avro_record, encode
from modelyard_contracts.documents import write
from modelyard_contracts.routes import RoutePlan
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_contracts.topics import avro_schema, topic
from modelyard_devstack.testing import eventually
from modelyard_monitor.detect.worker import CHANGELOG
from modelyard_runtime.headers import message_headers, to_wire
from modelyard_runtime.kafka import list_dead_letters
from modelyard_runtime.signing.frame import HEADER

from .services import Stack, registered

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(240)]

NOW = datetime.now(UTC)
DIGEST = "sha256:" + "0" * 64
WINDOW: Final = {"window_start": NOW, "window_end": NOW}
MONITORED: Final = {"model_version": 1, "model_digest": DIGEST, "subject": "score", "severity": "info", "reason": "r"}
FIELDS: Final[dict[type[Message], dict[str, Any]]] = {
    RolloutRequested: {"action": RolloutAction.START, "version": 1, "requested_by": "test"},
    RolloutChanged: {
        "rollout_id": uuid4(),
        "revision": 1,
        "route": "r",
        "strategy": RolloutStrategy.FULL,
        "to_version": 1,
        "state": RolloutState.PENDING,
    },
    RoutePublished: {"route": "r", "sequence": 1, "salt": "s", "timeout_ms": 100},
    RouteApplied: {"route": "r", "sequence": 1, "router_id": "router-of-tests"},
    EvaluationRequested: {"challenger_version": 1, "requested_by": "test"},
    EvaluationFinished: {
        "evaluation_id": uuid4(),
        "challenger_version": 1,
        "challenger_digest": DIGEST,
        "reasons": (),
        "verdict": Verdict.INCONCLUSIVE,
        "rows": 1,
    },
    TrainingRunRequested: {"requested_by": "test", "reason": "r", "recipe": "no such recipe"},
    TrainingRunChanged: {
        "run_id": uuid4(),
        "revision": 1,
        "state": "requested",
        "recipe": "r",
        "trigger": "request",
        "cost_usd": 0.0,
    },
    ResourceChanged: {"revision": 1, "change": ResourceChange.TAGS_CHANGED, "actor": "test", "name": "n"},
    DriftDetected: {
        **MONITORED,
        **WINDOW,
        "kind": "score",
        "detector": "psi",
        "statistic": 0.1,
        "threshold": 0.1,
        "reference_rows": 1,
        "current_rows": 1,
    },
    AlertRaised: {**MONITORED, **WINDOW, "alert": "a", "value": 0.1, "threshold": 0.1, "rows": 1},
    SliceSummarised: {
        "model_version": 1,
        "model_digest": DIGEST,
        "variant": "stable",
        "source": SliceSource.PREDICTIONS,
        "rows": 1,
        "covers": OffsetRange(topic="t", partition=0, first_offset=0, last_offset=0),
        **WINDOW,
    },
}
SIGNED = sorted(topic_ for topic_, kind in MESSAGES.items() if kind in FIELDS)
WITHOUT_GROUP: Final = {"monitor", "router", "monitor.detect"}
"""Readers that keep their place elsewhere, or have none."""
CONSUMING: Final = ("registry", "trainer", "evaluator", "deployer", "monitor")
Headers = dict[str, str]
Bytes = Callable[[Message], bytes]


def event(kind: type[Message], model: str, **fields: Any) -> Message:
    common = {"event_id": uuid4(), "occurred_at": datetime.now(UTC), "correlation_id": uuid4(), "model": model}
    given = {**common, **FIELDS[kind], **fields}
    if "route" in given:
        given["route"] = model
    return kind.model_validate({name: value for name, value in given.items() if name in kind.model_fields})


def altered(message: Message, types: tuple[type, ...], value: Any) -> Message:
    """The message with `value` in every field of a type; our own classes would refuse to make it."""
    found = {name: value for name, old in message if type(old) in types}
    return message.model_copy(update=found)


def unknown_symbol(message: Message) -> bytes:
    """A symbol that no reader has, in the first enum of the record; an empty body without one."""
    schema = avro_schema(message.TOPIC)
    symbols = [field["type"] for field in schema["fields"] if isinstance(field["type"], dict)]
    enums = [found for found in symbols if found.get("type") == "enum"]
    if not enums:
        return encode(message)[:5]
    longer = fastavro.parse_schema(_with_symbol(schema, enums[0]["name"]))
    field = next(one["name"] for one in schema["fields"] if isinstance(one["type"], dict) and one["type"] is enums[0])
    out = BytesIO()
    fastavro.schemaless_writer(out, longer, {**avro_record(message), field: "unheard_of"})
    return encode(message)[:5] + out.getvalue()


def _with_symbol(schema: dict[str, Any], name: str) -> dict[str, Any]:
    def changed(field: dict[str, Any]) -> dict[str, Any]:
        inner = field["type"]
        if isinstance(inner, dict) and inner.get("name") == name:
            return {**field, "type": {**inner, "symbols": [*inner["symbols"], "unheard_of"]}}
        return field

    return {**schema, "fields": [changed(field) for field in schema["fields"]]}


def other_topic(message: Message) -> bytes:
    kind = TrainingRunRequested if not isinstance(message, TrainingRunRequested) else EvaluationRequested
    return encode(event(kind, "bad"))


DEFECTS: Final[dict[str, Bytes]] = {
    "a huge integer": lambda message: encode(altered(message, (int,), 2**63 - 1)),
    "a negative integer": lambda message: encode(altered(message, (int,), -1)),
    "NaN": lambda message: encode(altered(message, (float,), float("nan"))),
    "infinity": lambda message: encode(altered(message, (float,), float("inf"))),
    "the event of another topic": other_topic,
    "a missing field": lambda message: encode(message)[:-1],
    "trailing bytes": lambda message: encode(message) + b"x",
    "an unknown symbol": unknown_symbol,
    "a long text": lambda message: encode(altered(message, (str,), "x" * 80_000)),
    "a schema of a newer release": lambda message: CONFLUENT_MAGIC + (9_999).to_bytes(4, "big") + encode(message)[5:],
    "no framing": lambda message: b"[" * 10_000,
    "nothing": lambda message: b"",
}


async def send(stack: Stack, records: list[tuple[Message, bytes, Headers]]) -> int:
    """To one partition, so that a reader that stops at a bad record never reaches the good one; the last offset."""
    async with AIOKafkaProducer(bootstrap_servers=stack.state["kafka"]["bootstrap"]) as producer:
        for message, value, headers in records:
            wire = to_wire(headers)
            sent = await producer.send_and_wait(
                message.TOPIC, value, key=message.key.encode(), headers=wire, partition=0
            )
    return int(sent.offset)


def signed(stack: Stack, message: Message, value: bytes) -> Headers:
    headers = message_headers(message)
    return stack.signer(message.TOPIC).sign(message.TOPIC, message.key.encode(), headers, value)


async def all_readers_pass(stack: Stack, name: str, last: int) -> None:
    """Wait until every reader has handled partition 0 up to `last`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.state["kafka"]["bootstrap"])
    await admin.start()

    async def passed(group: str) -> bool:
        found = (await admin.list_consumer_group_offsets(group)).get(TopicPartition(name, 0))
        return found is not None and found.offset > last

    try:
        for group in set(topic(name).readers) - WITHOUT_GROUP:
            await eventually(partial(passed, group), 120, what=f"{group} is past the good event")
    finally:
        await admin.close()


async def has_state(stack: Stack, model: str) -> bool:
    """Whether the detect worker has stored a state of the model."""
    reader = AIOKafkaConsumer(
        CHANGELOG, bootstrap_servers=stack.state["kafka"]["bootstrap"], auto_offset_reset="earliest"
    )
    async with reader:
        ends = await reader.end_offsets(reader.assignment())
        while any([await reader.position(where) < end for where, end in ends.items()]):
            found = await reader.getmany(timeout_ms=500)
            if any(record.key == model.encode() for records in found.values() for record in records):
                return True
    return False


def stopped(stack: Stack) -> dict[str, Any]:
    """Partitions that any service has stopped reading."""
    found = {name: stack.ask(name, "GET", "/internal/consumers").json() for name in CONSUMING}
    return {name: groups for name, groups in found.items() if any(group["stopped"] for group in groups)}


def honest(stack: Stack, kind: type[Message], model: str) -> Message:
    """An event about a model that exists."""
    if kind is EvaluationFinished:
        return event(kind, model, challenger_digest=registered(stack, model).digest)
    if kind is not RoutePublished:
        registered(stack, model)
        return event(kind, model)
    leaf = {"kind": "version", "model": model, "version": 1, "digest": DIGEST, "urls": ["http://127.0.0.1:9"]}
    plan = RoutePlan.model_validate({"root": {**leaf, "feature_schema_id": "fs-1"}})
    signature = Signature(columns=(Column(name="price"),), output=Output(task=Task.REGRESSION))
    return event(kind, model, plan=write(plan).decode(), signatures={"fs-1": write(signature).decode()})


EFFECTS: Final[dict[type[Message], tuple[str, str]]] = {
    TrainingRunRequested: ("trainer", "/v1/runs"),
    EvaluationRequested: ("evaluator", "/v1/evaluations"),
    RolloutRequested: ("deployer", "/v1/rollouts"),
}
"""Where the effect of an honest event can be seen."""


@pytest.mark.parametrize("name", SIGNED)
async def test_bad_events_of_every_kind_disturb_no_other_model(stack: Stack, name: str) -> None:
    """Twelve defects in events that their writer signed, and two forgeries, before one good event."""
    kind, bad, good = MESSAGES[name], f"bad-{uuid4().hex[:8]}", f"good-{uuid4().hex[:8]}"
    records = []
    for defect in DEFECTS.values():
        message = event(kind, bad)
        value = defect(message)
        records.append((message, value, signed(stack, message, value)))
    forged, wanted = event(kind, bad), honest(stack, kind, good)
    of_another = {**message_headers(forged), HEADER: signed(stack, wanted, encode(wanted))[HEADER]}
    records += [(forged, encode(forged), message_headers(forged)), (forged, encode(forged), of_another)]
    records.append((wanted, encode(wanted), signed(stack, wanted, encode(wanted))))
    last = await send(stack, records)

    await all_readers_pass(stack, name, last)
    if kind is SliceSummarised:
        await eventually(partial(has_state, stack, good), 120, what="detect applied the good slice")
    assert stopped(stack) == {}
    for reader in {group.split(".")[0] for group in topic(name).readers} - {"router"}:
        letters = await list_dead_letters(stack.state["kafka"]["bootstrap"], name, reader, 1_000)
        if letters:
            of_good = [letter.reason for letter in letters if letter.offset == last]
            assert of_good == [], "the good event is none of them"
            assert any(letter.reason.startswith("not signed by") for letter in letters)
    if kind in EFFECTS:
        service, path = EFFECTS[kind]
        await eventually(lambda: stack.ask(service, "GET", path, params={"model": good}).json()["items"], 60)
    if kind is RoutePublished:
        await eventually(lambda: good in stack.ask("router", "GET", "/v1/routes").text, 60)
        assert bad not in stack.ask("router", "GET", "/v1/routes").text
