"""Text generation: whole answers and streams, and every way in which a stream can end."""

import asyncio
import json
from typing import Any

import pytest

from modelyard_serving.requests import Limits

from .conftest import World

GENERATE = "/v2/models/elec/generate"
STREAM = "/v2/models/elec/generate_stream"


async def events(world: World, text: str, **options: Any) -> list[dict[str, Any]]:
    """All events of one stream."""
    data = b""
    async with world.call.exchange("POST", STREAM, {"text_input": text, **options}) as exchange:
        while (chunk := await exchange.chunk()) is not None:
            data += chunk
    assert exchange.headers["content-type"] == "text/event-stream"
    assert data.endswith(b"\n\n")
    return [json.loads(line.removeprefix(b"data: ")) for line in data.strip().split(b"\n\n")]


async def test_a_whole_answer_has_text_usage_and_identity(text_world: World) -> None:
    status, body = await text_world.call("POST", GENERATE, {"text_input": "to be or", "id": "r1"})
    assert (status, body["text_output"], body["finish_reason"]) == (200, "to be or ", "stop")
    assert body["usage"] == {"input_tokens": 3, "output_tokens": 3}
    assert (body["model_name"], body["model_version"], body["id"]) == ("elec", "3", "r1")
    assert body["parameters"]["digest"] == text_world.model.digest


async def test_a_stream_sends_pieces_and_then_its_end(text_world: World) -> None:
    *pieces, end = await events(text_world, "to be or")
    assert [piece["text_output"] for piece in pieces] == ["to ", "be ", "or "]
    assert all("finish_reason" not in piece for piece in pieces)
    assert (end["text_output"], end["finish_reason"]) == ("", "stop")
    assert end["usage"] == {"input_tokens": 3, "output_tokens": 3}


async def test_an_empty_stream_has_only_its_end(text_world: World) -> None:
    [end] = await events(text_world, " ")
    assert (end["finish_reason"], end["usage"]["output_tokens"]) == ("stop", 0)


async def test_a_piece_is_sent_before_the_next_one_is_made(text_world: World) -> None:
    async with text_world.call.exchange("POST", STREAM, {"text_input": "now endless"}) as exchange:
        first = await exchange.chunk()
        assert first is not None
        assert json.loads(first.removeprefix(b"data: "))["text_output"] == "now "


async def test_max_tokens_ends_the_answer_with_length(text_world: World) -> None:
    *pieces, end = await events(text_world, "endless", parameters={"max_tokens": 3})
    assert (len(pieces), end["finish_reason"], end["usage"]["output_tokens"]) == (3, "length", 3)
    status, problem = await text_world.call("POST", GENERATE, {"text_input": "x", "parameters": {"max_tokens": 0}})
    assert (status, problem["field"]) == (400, "max_tokens")


async def test_a_parameter_that_the_model_refuses_is_the_callers_error_and_the_next_request_is_answered(
    text_world: World,
) -> None:
    body = {"text_input": "x", "parameters": {"pace": 3}}
    for path in (GENERATE, STREAM):
        status, problem = await text_world.call("POST", path, body)
        assert (status, problem["field"]) == (400, "pace")
        assert "pace: is not a known field" in problem["error"]
    status, answer = await text_world.call("POST", GENERATE, {"text_input": "x"})
    assert (status, answer["text_output"]) == (200, "x ")


async def test_a_limit_of_the_model_ends_the_answer_with_length(text_world: World) -> None:
    *pieces, end = await events(text_world, "one two limit three")
    assert (len(pieces), end["finish_reason"], end["usage"]["output_tokens"]) == (2, "length", 2)


async def test_a_caller_that_leaves_ends_the_generation(text_world: World) -> None:
    closed = text_world.generator.closed
    async with text_world.call.exchange("POST", STREAM, {"text_input": "endless"}) as exchange:
        await exchange.chunk()
    async with asyncio.timeout(20):
        *_, end = await events(text_world, "next")  # the thread is free again
    assert end["finish_reason"] == "stop"
    assert text_world.generator.closed == closed + 2


async def test_an_error_before_the_first_piece_is_an_error_answer(text_world: World) -> None:
    status, problem = await text_world.call("POST", STREAM, {"text_input": "break"})
    assert (status, problem["code"]) == (500, "model_failed")


async def test_an_error_within_the_stream_is_its_last_event(text_world: World) -> None:
    first, last = await events(text_world, "one break")
    assert first["text_output"] == "one "
    assert (last["code"], "finish_reason" in last) == ("model_failed", False)


async def test_a_deadline_ends_whole_answers_and_streams(text_world: World) -> None:
    headers = {"x-modelyard-timeout-ms": "100"}
    status, problem = await text_world.call("POST", GENERATE, {"text_input": "endless"}, headers=headers)
    assert (status, problem["code"]) == (504, "deadline_passed")
    data = b""
    async with text_world.call.exchange("POST", STREAM, {"text_input": "endless"}, headers=headers) as exchange:
        while (chunk := await exchange.chunk()) is not None:
            data += chunk
    last = json.loads(data.strip().split(b"\n\n")[-1].removeprefix(b"data: "))
    assert last["code"] == "deadline_passed"


async def test_too_many_waiting_generations_are_refused(text_world: World) -> None:
    limits = Limits(max_waiting_generations=0)
    text_world.app.close()
    text_world.app.limits = limits
    text_world.app.install(text_world.model)
    async with text_world.call.exchange("POST", STREAM, {"text_input": "endless"}) as exchange:
        await exchange.chunk()
        status, problem = await text_world.call("POST", GENERATE, {"text_input": "x"})
    assert (status, problem["code"]) == (503, "overloaded")


async def test_rows_and_texts_are_not_mixed_up(text_world: World) -> None:
    status, problem = await text_world.call("POST", "/v2/models/elec/infer", {"inputs": []})
    assert (status, "use generate" in problem["error"]) == (404, True)
    status, problem = await text_world.call("POST", GENERATE, {"text": "x"})
    assert (status, "text_input" in problem["error"]) == (400, True)
    assert (await text_world.call("POST", GENERATE, b"[" * 3_000))[0] == 400
    _, body = await text_world.call("GET", "/v2")
    assert body["extensions"] == ["generate"]


CHAT = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]


async def test_a_chat_is_answered_whole_and_as_a_stream(text_world: World) -> None:
    status, body = await text_world.call("POST", GENERATE, {"messages": CHAT})
    assert (status, body["text_output"]) == (200, "system:be brief user:hi ")
    assert body["usage"] == {"input_tokens": 2, "output_tokens": 3}
    data = b""
    async with text_world.call.exchange("POST", STREAM, {"messages": CHAT}) as exchange:
        while (chunk := await exchange.chunk()) is not None:
            data += chunk
    assert "".join(json.loads(line[6:])["text_output"] for line in data.strip().split(b"\n\n")) == body["text_output"]


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"messages": CHAT, "text_input": "hi"}, "text_input", "send one of them"),
        ({}, "text_input", "send one of them"),
        ({"messages": []}, "messages", "send 1 to 1000"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "use system, user, assistant"),
        ({"messages": [*CHAT, CHAT[0]]}, "messages[2].role", "only the first message"),
        ({"messages": [*CHAT, {"role": "assistant", "content": "x"}]}, "messages", "the last one must be the user's"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, None, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, None, "is not a known field"),
    ],
)
async def test_messages_that_are_no_chat_are_refused_by_name(
    text_world: World, body: Any, field: str | None, says: str
) -> None:
    status, problem = await text_world.call("POST", GENERATE, body)
    assert (status, problem.get("field")) == (400, field), problem
    assert says in problem["error"]
