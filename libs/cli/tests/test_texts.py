"""`generate` and `chat` against a router that streams."""

import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from modelyard import RouterClient
from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform

END = b'data: {"finish_reason": "stop"}\n\ndata: [DONE]\n\n'
PIECES = b'data: {"text": "to "}\n\ndata: {"text": "be"}\n\n'


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Bodies of requests; the answers are the streams that a test appends to `streams`."""
    return serve(monkeypatch, PIECES + END)


def serve(monkeypatch: pytest.MonkeyPatch, stream: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        found.append(json.loads(request.content))
        return httpx.Response(200, content=stream, headers={"content-type": "text/event-stream"})

    router = RouterClient("http://router", "key", transport=httpx.MockTransport(answer))
    monkeypatch.setattr(Platform, "find", lambda *_: SimpleNamespace(router=router))
    return found


def test_a_stream_is_printed_and_a_system_message_makes_a_chat(asked: list[dict[str, Any]]) -> None:
    words = ["generate", "poet", "or not", "--stream", "--system", "Be brief.", "--parameter", "max_tokens=2"]
    shown = CliRunner().invoke(app, words)
    assert (shown.exit_code, shown.output) == (0, "to be\n")
    assert asked == [
        {
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "or not"}],
            "parameters": {"max_tokens": 2},
            "stream": True,
        }
    ]


def test_each_message_of_a_chat_is_sent_with_those_before_it(asked: list[dict[str, Any]]) -> None:
    shown = CliRunner().invoke(app, ["chat", "poet"], input="first\n\nsecond\n")
    assert shown.exit_code == 0, shown.output
    assert [[message["content"] for message in body["messages"]] for body in asked] == [
        ["first"],
        ["first", "to be", "second"],
    ]
    assert [message["role"] for message in asked[1]["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    "stream", [PIECES, PIECES + b'data: {"error": {"code": "upstream_error", "detail": "it ended"}}\n\n']
)
def test_an_answer_that_breaks_off_is_an_error(monkeypatch: pytest.MonkeyPatch, stream: bytes) -> None:
    serve(monkeypatch, stream)
    shown = CliRunner().invoke(app, ["generate", "poet", "x", "--stream"])
    assert shown.exit_code != 0
    assert "to be" in shown.output
    assert "the answer broke off" in shown.output


def test_control_characters_of_an_answer_do_not_reach_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, b'data: {"text": "a\\u001b[2Jb\\n"}\n\n' + END)
    shown = CliRunner().invoke(app, ["chat", "poet"], input="first\nsecond\n")
    assert "\x1b" not in shown.output
    assert "a\\x1b[2Jb\n" in shown.output
    assert asked[1]["messages"][1]["content"] == "a\x1b[2Jb\n", "the conversation keeps the answer as it was"
