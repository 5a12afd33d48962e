"""Generated text: whole and streamed, broken off on either side, stalled, empty; each answer is logged when it ends."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from modelyard_contracts.messages.serving import GenerationLogged, GenerationStatus, TextPolicy
from modelyard_contracts.tokens import serving_token
from modelyard_devstack.testing import Process, eventually
from modelyard_serving.testing import write_echo_version

from .conftest import KEY, Make, World
from .plans import TEXT, fallback, leaf, planned
from .replica import DIGEST_2
from .sockets import raw_request
from .text_server import TextBehaviour, TextServer

PRICE = {"usd_per_call": 0.01, "usd_per_1k_input_tokens": 1.0, "usd_per_1k_output_tokens": 2.0}
OTHER: Any = {"version": 2, "digest": DIGEST_2, "variant": "second"}
Serve = Callable[..., Awaitable[TextServer]]


@pytest.fixture
def transport() -> str:
    return "socket"


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(**behaviour: Any) -> TextServer:
            return await stack.enter_async_context(TextServer(TextBehaviour(**behaviour)))

        yield start


def text_leaf(server: TextServer, **fields: Any) -> Any:
    return leaf(server.url, signature=TEXT, price=PRICE, **fields)


def publish(world: World, root: Any, **more: Any) -> None:
    world.publish(planned(root, signatures=(TEXT,), **more))


async def generated(world: World, **body: Any) -> tuple[int, dict[str, str], list[Any]]:
    """Status, headers, and the events of a stream; a body that is no stream is the only item."""
    assert world.server is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    raw = json.dumps({"text": "Say hello", "stream": True, **body}).encode()
    given = {"authorization": f"Bearer {KEY}", "content-length": str(len(raw)), "connection": "close"}
    writer.write(raw_request("POST", "/v1/generate/elec", given, [raw]))
    async with asyncio.timeout(30):
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    if headers["content-type"] != "text/event-stream":
        return int(lines[0].split()[1]), headers, [json.loads(rest)]
    body_bytes = unchunked(rest)
    events = [block.removeprefix(b"data: ") for block in body_bytes.split(b"\n\n") if block]
    return 200, headers, [event.decode() if event == b"[DONE]" else json.loads(event) for event in events]


def unchunked(data: bytes) -> bytes:
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        out += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
    return out


async def logged(world: World) -> GenerationLogged:
    await eventually(lambda: len(world.generations()) == 1)
    [record] = world.generations()
    return record


async def test_a_stream_arrives_in_pieces_and_ends_with_its_usage(world: World, serve: Serve) -> None:
    server = await serve()
    publish(world, text_leaf(server))
    status, headers, events = await generated(world, entity_key="u", session_id="s-1", parameters={"max_tokens": 9})
    assert status == 200
    assert events == [
        {"text": "Hello"},
        {"text": ", "},
        {"text": "world"},
        {"finish_reason": "stop", "usage": {"input_tokens": 3, "output_tokens": 7}},
        "[DONE]",
    ]
    assert (headers["x-modelyard-version"], headers["x-modelyard-attempts"]) == ("1", "1")
    assert server.paths == ["/v2/models/elec/generate_stream"]
    [request] = server.behaviour.requests
    assert (request["text_input"], request["parameters"]) == ("Say hello", {"max_tokens": 9})
    record = await logged(world)
    assert (record.status, record.finish_reason, record.session_id) == (GenerationStatus.OK, "stop", "s-1")
    assert (record.input_characters, record.output_characters) == (9, 12)
    assert (record.input_tokens, record.output_tokens) == (3, 7)
    assert record.cost_usd == pytest.approx(0.01 + 3 / 1000 + 7 * 2 / 1000)
    assert [(a.path, a.version, a.status, a.output_tokens) for a in record.attempts] == [
        ("", 1, GenerationStatus.OK, 7)
    ]
    assert record.time_to_first_token_ms is not None
    assert 0 < record.time_to_first_token_ms <= record.latency_ms
    assert (record.text_policy, record.input_text, record.output_text) == (TextPolicy.NONE, None, None)


async def test_a_whole_answer_is_one_document(world: World, serve: Serve) -> None:
    publish(world, text_leaf(await serve()))
    status, _, [body] = await generated(world, stream=False, generation_id="g-1")
    assert (status, body["text"], body["finish_reason"], body["generation_id"]) == (200, "Hello, world", "stop", "g-1")
    assert body["usage"] == {"input_tokens": 3, "output_tokens": 7}
    assert (await logged(world)).generation_id == "g-1"


@pytest.mark.parametrize(("policy", "kept"), [("full", ("Say hello", "Hello, world")), ("hash", None)])
async def test_the_text_policy_decides_what_the_log_holds(
    make_world: Make, serve: Serve, policy: str, kept: tuple[str, str] | None
) -> None:
    world = await make_world(text_policy=policy)
    publish(world, text_leaf(await serve()))
    await generated(world)
    record = await logged(world)
    found = record.input_text, record.output_text
    assert found == kept if kept else all(text and len(text) > 32 and "ello" not in text for text in found)


async def test_a_stream_that_the_upstream_cuts_ends_with_an_error_and_no_done(world: World, serve: Serve) -> None:
    publish(world, text_leaf(await serve(end="cut")))
    _, _, events = await generated(world)
    assert events[:-1] == [{"text": "Hello"}, {"text": ", "}, {"text": "world"}]
    assert events[-1]["error"]["code"] == "upstream_error"
    record = await logged(world)
    assert (record.status, record.finish_reason) == (GenerationStatus.UPSTREAM_ERROR, None)
    assert record.output_characters == 12


async def test_a_stream_that_ends_without_a_finish_reason_was_broken_off(world: World, serve: Serve) -> None:
    publish(world, text_leaf(await serve(end="silent")))
    _, _, events = await generated(world)
    assert events[-1]["error"]["code"] == "upstream_error"
    assert (await logged(world)).status is GenerationStatus.UPSTREAM_ERROR


async def test_a_stream_that_stalls_is_given_up(make_world: Make, serve: Serve) -> None:
    world = await make_world(stream_stall_ms=200)
    server = await serve(end="stall")
    publish(world, text_leaf(server))
    _, _, events = await generated(world)
    assert events[-1]["error"]["code"] == "upstream_timeout"
    assert (await logged(world)).status is GenerationStatus.TIMEOUT
    await eventually(lambda: server.behaviour.aborted == 1)


async def test_a_caller_that_goes_away_ends_the_stream_and_its_record(world: World, serve: Serve) -> None:
    server = await serve(pieces=["one "] * 500, pause_s=0.05)
    publish(world, text_leaf(server))
    assert world.server is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    raw = b'{"text": "x", "stream": true}'
    given = {"authorization": f"Bearer {KEY}", "content-length": str(len(raw))}
    writer.write(raw_request("POST", "/v1/generate/elec", given, [raw]))
    await reader.readuntil(b"one ")
    writer.transport.abort()
    record = await logged(world)
    assert record.status is GenerationStatus.CLIENT_CLOSED
    assert 0 < record.output_characters < 2_000
    await eventually(lambda: server.behaviour.aborted == 1)


async def test_a_caller_that_leaves_a_whole_answer_ends_the_generation_and_its_record(
    world: World, serve: Serve
) -> None:
    server = await serve(pieces=["one "] * 500, pause_s=0.05)
    publish(world, text_leaf(server))
    assert world.server is not None
    _, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    raw = b'{"text": "x"}'
    given = {"authorization": f"Bearer {KEY}", "content-length": str(len(raw))}
    writer.write(raw_request("POST", "/v1/generate/elec", given, [raw]))
    await eventually(lambda: server.behaviour.requests)
    writer.transport.abort()
    record = await logged(world)
    assert record.status is GenerationStatus.CLIENT_CLOSED
    assert record.output_characters < 2_000
    await eventually(lambda: server.behaviour.aborted == 1)


async def test_an_empty_stream_is_an_error_of_the_version(world: World, serve: Serve) -> None:
    publish(world, text_leaf(await serve(pieces=[], end="silent")))
    status, _, [problem] = await generated(world)
    assert (status, problem["code"]) == (502, "upstream_error")
    assert (await logged(world)).status is GenerationStatus.UPSTREAM_ERROR


async def test_an_answer_without_text_is_a_whole_answer(world: World, serve: Serve) -> None:
    publish(world, text_leaf(await serve(pieces=[])))
    _, _, events = await generated(world)
    assert events[0]["finish_reason"] == "stop"
    assert (await logged(world)).output_characters == 0


@pytest.mark.parametrize(
    "broken", [{"status": 500}, {"status": 503}, {"digest": DIGEST_2}, {"pieces": [], "end": "cut"}]
)
async def test_before_the_first_piece_another_version_steps_in(
    world: World, serve: Serve, broken: dict[str, Any]
) -> None:
    bad, good = await serve(**broken), await serve(digest=DIGEST_2)
    publish(world, fallback(text_leaf(bad), text_leaf(good, **OTHER)))
    status, headers, events = await generated(world)
    assert (status, headers["x-modelyard-version"], events[-1]) == (200, "2", "[DONE]")
    record = await logged(world)
    assert [attempt.version for attempt in record.attempts] == [1, 2]
    assert (record.model_version, record.path) == (2, "fallback:1")


async def test_a_first_piece_that_does_not_come_in_time_is_a_timeout(world: World, serve: Serve) -> None:
    publish(world, text_leaf(await serve(delay_s=30)), timeout_ms=150)
    status, _, [problem] = await generated(world)
    assert (status, problem["code"]) == (504, "upstream_timeout")
    assert (await logged(world)).status is GenerationStatus.TIMEOUT


@pytest.mark.parametrize(
    ("body", "field"), [({"text": 5}, "text"), ({"texts": "x"}, "texts"), ({"session_id": ""}, "session_id")]
)
async def test_a_bad_request_names_its_field(world: World, serve: Serve, body: Any, field: str) -> None:
    publish(world, text_leaf(await serve()))
    status, _, [problem] = await generated(world, **body)
    assert (status, problem["field"]) == (422, field), problem


CHAT = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]


async def test_a_chat_goes_to_the_version_with_all_messages_and_is_recorded(world: World, serve: Serve) -> None:
    server = await serve()
    publish(world, text_leaf(server))
    _, _, events = await generated(world, text=None, messages=CHAT)
    assert "".join(event["text"] for event in events[:-2]) == "Hello, world"
    assert server.behaviour.requests[0]["messages"] == CHAT
    assert "text_input" not in server.behaviour.requests[0]
    assert (await logged(world)).input_characters == len("be brief") + len("hi")


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        (None, "text"),
        ([], "messages"),
        ([{"role": "developer", "content": "x"}], "messages[0].role"),
        ([*CHAT, {"role": "assistant", "content": "x"}], "messages"),
        ([{"role": "user"}], "messages[0].content"),
    ],
)
async def test_messages_that_are_no_chat_are_refused_before_a_version_is_asked(
    world: World, serve: Serve, messages: Any, field: str
) -> None:
    server = await serve()
    publish(world, text_leaf(server))
    status, _, [problem] = await generated(world, text=None, messages=messages)
    assert (status, problem["field"], server.behaviour.requests) == (422, field, []), problem


REFUSED = b'{"error": "connection openai: the provider answered %d", "code": "provider_x", "retry_after_s": 7}'


async def test_a_provider_that_asks_to_wait_is_503_with_its_pause_and_costs_nothing(world: World, serve: Serve) -> None:
    server = await serve(status=429, refusal=REFUSED % 429)
    publish(world, text_leaf(server))
    status, headers, [problem] = await generated(world)
    assert (status, headers["retry-after"], problem["code"]) == (503, "7", "provider_busy")
    assert "connection openai: the provider answered 429" in problem["detail"]
    record = await logged(world)
    assert (record.status, record.cost_usd) == (GenerationStatus.UNAVAILABLE, 0.0)


async def test_another_version_answers_while_a_provider_asks_to_wait(world: World, serve: Serve) -> None:
    busy, other = await serve(status=429, refusal=REFUSED % 429), await serve(digest=DIGEST_2)
    publish(world, fallback(text_leaf(busy), text_leaf(other, **OTHER)))
    status, headers, _ = await generated(world)
    assert (status, headers["x-modelyard-attempts"]) == (200, "2")


async def test_an_error_of_a_provider_is_shown_in_its_own_words(world: World, serve: Serve) -> None:
    publish(world, text_leaf(await serve(status=502, refusal=REFUSED % 401)))
    status, _, [problem] = await generated(world)
    assert (status, problem["code"]) == (502, "upstream_error")
    assert problem["detail"].endswith("answered 502: connection openai: the provider answered 401")


async def test_an_error_within_a_stream_is_shown_in_its_own_words(world: World, serve: Serve) -> None:
    publish(world, text_leaf(await serve(end="error")))
    _, _, events = await generated(world)
    assert events[-1]["error"] == {"code": "upstream_error", "detail": "connection openai: it broke"}


async def test_a_route_without_text_output_says_which_endpoint_to_use(world: World) -> None:
    await world.serve()
    status, _, [problem] = await generated(world)
    assert (status, "/v1/predict/elec" in problem["detail"]) == (409, True)


@pytest.mark.slow
async def test_a_real_model_server_streams_through_the_router(world: World, tmp_path: Path) -> None:
    file = write_echo_version(tmp_path / "version", model="elec", pause_s=0.01)
    env = {"MODELYARD_SERVING_TOKEN": serving_token(KEY)}
    command = [sys.executable, "-m", "modelyard_serving", "--model-dir", str(tmp_path / "version")]
    process = await asyncio.to_thread(Process([*command, "--digest", file.digest], {**os.environ, **env}).start)
    try:
        publish(world, leaf(f"http://{process.address}", signature=TEXT, digest=file.digest))
        _, _, events = await generated(world, text="one two three")
        assert "".join(event["text"] for event in events[:-2]).split() == ["one", "two", "three"]
        assert events[-1] == "[DONE]"
        assert (await logged(world)).status is GenerationStatus.OK
        status, _, [problem] = await generated(world, text="one", parameters={"max_tokens": 0})
        assert (status, problem["code"], problem["field"]) == (422, "bad_parameter", "max_tokens")
        await eventually(lambda: len(world.generations()) == 2)
        assert world.generations()[1].status is GenerationStatus.REJECTED
        answer = await world.predict({"text": "one"})
        assert (answer.status, answer.body["code"]) == (409, "text_route")
        assert "use /v1/generate/elec" in answer.body["detail"]
    finally:
        process.kill()
