"""Generations are stored exactly once, with their attempts and texts; bad ones are dead letters."""

from typing import Any
from uuid import uuid4

from modelyard_contracts import GenerationLogged
from modelyard_contracts.codec import Codec
from modelyard_monitor.ingest.control_events import control_topics
from modelyard_monitor.ingest.generations import GenerationIngest
from modelyard_monitor.testing.samples import START, records

from .world import World


def generation(index: int, **fields: Any) -> GenerationLogged:
    given: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": START,
        "generation_id": f"g{index}",
        "model": "acme:writer",
        "model_version": 3,
        "model_digest": "d",
        "route": "acme:writer",
        "input_characters": 11,
        "output_characters": 40,
        "output_tokens": 9,
        "time_to_first_token_ms": 12.5,
        "cost_usd": 0.002,
        "attempts": (
            attempt("fallback:0", "timeout", None),
            attempt("fallback:1", "ok", 9),
        ),
    }
    return GenerationLogged(**{**given, **fields})


def attempt(path: str, status: str, tokens: int | None) -> dict[str, Any]:
    served = {"model": "acme:writer", "version": 3, "digest": "d", "latency_ms": 20.0}
    return {**served, "path": path, "status": status, "output_tokens": tokens}


async def test_generations_are_stored_once_with_their_attempts(world: World) -> None:
    ingest = GenerationIngest(world.clickhouse, Codec(), world.letters)
    broken_off = generation(1, status="client_closed", text_policy="full", input_text="in", output_text="half an ans")
    batch = records([generation(0), broken_off, b"not a generation", generation(3, generation_id="")])
    assert await ingest.store(batch) == 2
    await ingest.store(batch)

    rows = world.clickhouse.rows(
        "SELECT workspace, status, output_text, arrayMap(a -> a.path, attempts) AS paths, "
        "attempts[-1].output_tokens AS t "
        "FROM {db}.generations ORDER BY _offset"
    )
    assert [(row["workspace"], row["status"], row["output_text"]) for row in rows] == [
        ("acme", "ok", None),
        ("acme", "client_closed", "half an ans"),
    ]
    assert rows[0]["paths"] == ["fallback:0", "fallback:1"]
    assert rows[0]["t"] == 9
    assert world.is_exact("generations")
    assert {offset for offset, _ in world.letters.letters} == {2, 3}


def test_texts_of_generations_are_not_stored_as_control_events() -> None:
    assert GenerationLogged.TOPIC not in control_topics()
