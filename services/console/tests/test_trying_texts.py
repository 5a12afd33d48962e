"""The form that asks a language model: one text, then a conversation."""

from typing import Any

import pytest

from modelyard_console.domain.chats import UnreadableChat, read_chat, write_chat

from .conftest import World
from .test_routes import manifest, routed, sent, text_of  # noqa: F401  routed: a fixture

ANSWER = {
    "generation_id": "g-1",
    "model": "churn",
    "version": 3,
    "digest": "sha256:" + "ab" * 32,
    "text": "Hello <b>you</b>",
    "finish_reason": "length",
    "usage": {"input_tokens": 4, "output_tokens": 256},
    "route": "churn",
    "variant": "stable",
}


@pytest.fixture
def talking(routed: World) -> World:  # noqa: F811  the fixture
    column = {"name": "prompt", "type": "text"}
    routed.answers.add("/v1/models/churn/versions/1/manifest", manifest(column, output={"task": "text"}))
    routed.answers.add("/v1/generate/churn", ANSWER, "POST")
    return routed


def asked(world: World, **fields: Any) -> Any:
    form = {"csrf": world.csrf(), "feature:prompt": "hi", "chat": "", **fields}
    return world.browser.post("/routes/churn/try", data=form)


def test_a_text_is_answered_and_the_form_holds_the_conversation(talking: World) -> None:
    assert 'name="chat"' in talking.browser.get("/routes/churn/try").text
    page = asked(talking)
    assert sent(talking, "POST", "/v1/generate/churn") == {"text": "hi", "parameters": {}}
    text = text_of(page)
    for expected in ("Hello <b>you</b>", "churn v3", "256", "limit of tokens", "g-1"):
        assert expected in text
    assert "<b>you" not in page.text
    assert "user: hi\nassistant: Hello" in text


def test_the_conversation_goes_along(talking: World) -> None:
    asked(talking, chat="system: be brief\nuser: a\nassistant: b\r\nand c")
    roles = [(m["role"], m["content"]) for m in sent(talking, "POST", "/v1/generate/churn")["messages"]]
    assert roles == [("system", "be brief"), ("user", "a"), ("assistant", "b\nand c"), ("user", "hi")]


def test_a_conversation_that_cannot_be_read_is_refused_at_its_field(talking: World) -> None:
    page = asked(talking, chat="hello there")
    assert page.status_code == 422
    assert "begin each message with system:, user:, assistant:" in page.text
    assert not [one for one in talking.answers.asked if one.url.path.startswith("/v1/generate")]


def test_a_conversation_is_written_as_it_is_read() -> None:
    text = "system: x\nuser: a\nb\nassistant: c"
    assert write_chat(read_chat(text)) == text
    assert read_chat(" ") == []
    with pytest.raises(UnreadableChat):
        read_chat("x\nuser: y")
