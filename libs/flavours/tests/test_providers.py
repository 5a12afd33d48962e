"""Models of providers: answers, limits, refusals and hostile answers, against a provider on loopback."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts.connections import Connection, ConnectionAccess, ModelTerms
from modelyard_contracts.inference.generate import ChatMessage, Usage
from modelyard_contracts.manifest import ModelManifest, Permissions
from modelyard_contracts.signature import Task
from modelyard_devstack.testing.openai import KEY, FakeProvider, bought_manifest, fake_provider
from modelyard_flavours import Inadmissible, ProviderError, load_generator, load_model
from modelyard_flavours.errors import BadParameter
from modelyard_flavours.predictor import Ended, FloatArray
from modelyard_flavours.providers.access import Terms
from modelyard_flavours.providers.limits import Throttle

TERMS = {"context_tokens": 1_000, "input_per_million_tokens": 1.0}


class Bought:
    """A version of a provider's model in a folder, with its connection in a file."""

    def __init__(self, folder: Path, provider: FakeProvider) -> None:
        self.folder, self.provider, self.file = folder, provider, folder / "connection" / "access.json"
        self.file.parent.mkdir()
        self.connect()

    def connect(self, key: str = KEY, problem: str = "", **fields: Any) -> None:
        given = {"endpoint": self.provider.url, "allow_http": True, "secret": "OPENAI_API_KEY"}
        document = Connection.model_validate({**given, "models": {"small-1": TERMS}, **fields})
        self.write(ConnectionAccess(name="openai", revision=1, connection=document, key=key, problem=problem))

    def write(self, access: ConnectionAccess) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(access.model_dump_json())
        new.replace(self.file)

    def manifest(self, task: Task = Task.TEXT, **options: str) -> ModelManifest:
        return bought_manifest(self.folder, "openai", task, **options)

    def ask(self, prompt: Any = "to be or", **parameters: Any) -> tuple[list[str], Ended]:
        return drained(load_generator(self.manifest(), self.folder, self.file).generate(prompt, parameters))

    def embed(self, *texts: str) -> FloatArray:
        loaded = load_model(self.manifest(Task.EMBEDDING), self.folder, self.file)
        return loaded.predict(np.zeros((len(texts), 0)), np.array([[text] for text in texts], dtype=object))


def drained(pieces: Iterator[str]) -> tuple[list[str], Ended]:
    found = []
    while True:
        try:
            found.append(next(pieces))
        except StopIteration as ended:
            return found, ended.value


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with fake_provider() as started:
        yield started


@pytest.fixture
def bought(tmp_path: Path, provider: FakeProvider) -> Bought:
    return Bought(tmp_path, provider)


def test_a_text_is_answered_in_pieces_with_the_tokens_that_the_provider_counts(bought: Bought) -> None:
    assert bought.ask() == (["to ", "be ", "or "], Ended("stop", Usage(3, 3)))
    assert bought.ask(max_tokens=2) == (["to ", "be "], Ended("length", Usage(3, 2)))
    [first, second] = bought.provider.calls
    assert (first["model"], first["max_tokens"], first["messages"]) == (
        "small-1", 256, [{"role": "user", "content": "to be or"}],
    )  # fmt: skip
    assert "temperature" not in first and second["max_tokens"] == 2


def test_a_chat_and_the_parameters_are_passed_on(bought: Bought) -> None:
    chat = [ChatMessage("system", "be short"), ChatMessage("user", "hello there")]
    manifest = bought.manifest(limit_name="max_completion_tokens")
    pieces, ended = drained(load_generator(manifest, bought.folder, bought.file).generate(chat, {"temperature": 0.5}))
    assert (pieces, ended.usage) == (["hello ", "there "], Usage(4, 2))
    [call] = bought.provider.calls
    assert (call["temperature"], call["max_completion_tokens"], "max_tokens" in call) == (0.5, 256, False)


def test_a_provider_that_does_not_stream_or_count_answers_as_well(bought: Bought) -> None:
    bought.provider.streams = bought.provider.usage = False
    assert bought.ask() == (["to be or"], Ended("stop", None))


def test_vectors_come_in_the_order_of_the_texts(bought: Bought) -> None:
    assert bought.embed("a", "bbb").tolist() == [[1, 1, 0], [3, 1, 0]]
    assert len(bought.embed(*["x"] * 300)) == 300
    assert [len(call["input"]) for call in bought.provider.calls] == [2, 128, 128, 44]


@pytest.mark.parametrize(
    ("answer", "code", "problem"),
    [
        ({"status": 401}, "provider_unauthorized", "does not accept the key of the secret OPENAI_API_KEY"),
        ({"status": 403}, "provider_unauthorized", "answered 403"),
        ({"status": 429, "headers": {"retry-after": "7"}}, "provider_rate_limited", "too many requests"),
        ({"status": 500}, "provider_failed", "answered 500: as the test asks"),
        ({"status": 503, "body": b"<html>"}, "provider_failed", "answered 503"),
        ({"status": 404}, "provider_refused", "answered 404: as the test asks"),
        ({"status": 400, "body": {"error": {"message": f"bad {KEY}"}}}, "provider_refused", "bad ***"),
        ({"status": 302, "headers": {"location": "http://127.0.0.1:1/"}}, "provider_bad_answer", "a redirect"),
        ({"raw": b"data: {not json\n\n"}, "provider_bad_answer", "not JSON"),
        ({"raw": b"data: [1]\n\n"}, "provider_bad_answer", "no JSON object"),
        ({"raw": b"data: " + b"[" * 100_000 + b"\n\n"}, "provider_bad_answer", "not JSON"),
        ({"raw": b'data: {"id": 1}\n\n'}, "provider_bad_answer", "without `choices`"),
        ({"raw": b'data: {"choices": [7]}\n\n'}, "provider_bad_answer", "without `choices`"),
        ({"raw": b'data: {"choices": [{"delta": {"content": 7}}]}\n\n'}, "provider_bad_answer", "without text"),
        ({"raw": b'data: {"choices": [{"delta": 7}]}\n\n'}, "provider_bad_answer", "without text"),
        ({"raw": b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'}, "provider_bad_answer", "finish_reason"),
        ({"raw": b"data: [DONE]\n\n"}, "provider_bad_answer", "finish_reason"),
        ({"raw": b""}, "provider_bad_answer", "finish_reason"),
        ({"raw": b"data: " + b"x" * (1 << 21)}, "provider_bad_answer", "an event of more than"),
        ({"raw": b'data: {"error": {"message": "overloaded"}}\n\n'}, "provider_failed", "reports: overloaded"),
        ({"raw": b"[]", "raw_type": "application/json"}, "provider_bad_answer", "no JSON object"),
        ({"raw": b"<html>", "raw_type": "text/html"}, "provider_bad_answer", "not JSON"),
        ({"raw": b"x" * (65 << 20), "raw_type": "application/json"}, "provider_bad_answer", "more than 64 MiB"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_is_no_answer_is_an_error_that_names_the_connection_and_no_key(
    bought: Bought, answer: Mapping[str, Any], code: str, problem: str
) -> None:
    for name, value in answer.items():
        setattr(bought.provider, name, value)
    with pytest.raises(ProviderError, match=r"^connection openai: the provider ") as raised:
        bought.ask()
    assert (raised.value.code, problem in str(raised.value)) == (code, True), raised.value
    assert KEY not in str(raised.value) and len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "data",
    [
        None, 7, [], [{}], [{"index": 0}], [{"index": 0, "embedding": "x"}], [{"index": 0, "embedding": [1, 2]}],
        [{"index": 1, "embedding": [1, 2, 3]}], [{"index": 0, "embedding": [1, 2, None]}],
        [{"index": 0, "embedding": [1, 2, 1e999]}], [{"index": 0, "embedding": [[1], [2], [3]]}],
    ],
)  # fmt: skip
def test_vectors_that_cannot_be_used_are_an_error(bought: Bought, data: Any) -> None:
    bought.provider.raw, bought.provider.raw_type = json.dumps({"data": data}).encode(), "application/json"
    with pytest.raises(ProviderError, match=r"^connection openai: the provider gave") as raised:
        bought.embed("one")
    assert raised.value.code == "provider_bad_answer"


def test_a_provider_that_stalls_or_sends_byte_by_byte_is_given_up(bought: Bought) -> None:
    bought.connect(limits={"timeout_ms": 200})
    bought.provider.stall_after = 1
    pieces = load_generator(bought.manifest(), bought.folder, bought.file).generate("to be", {})
    assert next(pieces) == "to "
    with pytest.raises(ProviderError, match=r"did not finish its answer within 0.2 s") as raised:
        next(pieces)
    assert raised.value.code == "provider_timeout"


@pytest.mark.usefixtures("loopback")
def test_a_provider_that_is_not_there_is_named(bought: Bought) -> None:
    bought.connect(endpoint="http://127.0.0.1:1/v1")
    with pytest.raises(ProviderError, match=r"openai: the provider does not accept connections .*refused"):
        bought.ask()


def test_a_pause_that_the_provider_asks_for_is_kept_without_a_call(bought: Bought) -> None:
    bought.provider.status, bought.provider.headers = 429, {"retry-after": "7"}
    generator = load_generator(bought.manifest(), bought.folder, bought.file)
    for _ in range(2):
        with pytest.raises(ProviderError) as raised:
            next(generator.generate("one", {}))
        assert raised.value.retry_after_s in (6, 7)
    assert len(bought.provider.calls) == 1


def test_what_exceeds_the_context_is_refused_before_the_call(bought: Bought) -> None:
    for parameters, prompt, field in (
        ({}, "word " * 1_000, "text_input"),
        ({}, [ChatMessage("user", "word " * 1_000)], "messages"),
        ({"max_tokens": 1_000}, "word", "max_tokens"),
    ):
        with pytest.raises(BadParameter, match=r"connection openai: the context of small-1 is 1000 tokens") as raised:
            bought.ask(prompt, **parameters)
        assert raised.value.field == field
    with pytest.raises(BadParameter, match=r"^text: .*connection openai: the context of small-1 is 1000"):
        bought.embed("word " * 2_000)
    assert bought.provider.calls == []


def test_what_the_provider_finds_too_long_is_an_error_of_the_request(bought: Bought) -> None:
    bought.provider.status = 400
    bought.provider.body = {"error": {"message": "8193 tokens", "code": "context_length_exceeded"}}
    with pytest.raises(BadParameter, match=r"text_input: is too long for the model; connection openai: .*8193 tokens"):
        bought.ask()


@pytest.mark.parametrize("parameters", [{"max_tokens": 0}, {"max_tokens": "3"}, {"top_k": 3}, {"temperature": 9}])
def test_wrong_parameters_are_named_before_the_call(bought: Bought, parameters: dict[str, Any]) -> None:
    with pytest.raises(BadParameter, match=f"^{next(iter(parameters))}: "):
        bought.ask(**parameters)
    assert bought.provider.calls == []


def test_a_changed_connection_reaches_a_loaded_version(bought: Bought) -> None:
    generator = load_generator(bought.manifest(), bought.folder, bought.file)
    with fake_provider(key="another-key") as other:
        bought.connect(endpoint=other.url, key="another-key")
        assert drained(generator.generate("moved on", {}))[0] == ["moved ", "on "]
        assert (len(other.calls), len(bought.provider.calls)) == (1, 0)
    gone = Connection(endpoint="https://a.example", models={"large-2": ModelTerms()})
    for access, problem in (
        (ConnectionAccess(name="openai", connection=gone), "it no longer lists the model small-1"),
        (ConnectionAccess(name="openai", connection=gone, problem="the secret X is not there"), "the secret X is not"),
        (ConnectionAccess(name="openai"), "it was deleted"),
    ):
        bought.write(access)
        with pytest.raises(ProviderError, match=f"connection openai: {problem}") as raised:
            generator.generate("x", {})
        assert raised.value.code == "connection_unusable"
    bought.file.write_text("{ half a fi")  # an unreadable file changes nothing
    with pytest.raises(ProviderError, match=r"it was deleted"):
        generator.generate("x", {})


def test_a_key_that_is_no_header_is_not_shown(bought: Bought) -> None:
    for key in ("two\nlines", "ключ"):
        bought.connect(key=key)
        with pytest.raises(ProviderError) as raised:
            bought.ask()
        assert key not in str(raised.value) and raised.value.__cause__ is None


def test_the_key_is_neither_in_the_environment_nor_in_the_texts_of_objects(bought: Bought) -> None:
    bought.ask()
    access = ConnectionAccess.model_validate_json(bought.file.read_bytes())
    assert access.key == KEY and KEY not in repr(access) and KEY not in str(access)
    assert KEY not in "".join(os.environ.values())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"permissions": Permissions()}, "permissions.network: is missing"),
        ({"options": {"model": "api.json"}}, "options.connection: is missing"),
        ({"options": {"model": "api.json", "connection": "openai", "limit_name": "most"}}, "options.limit_name"),
        ({"options": {"model": "api.json", "connection": "openai", "temperature": "1"}}, "options.temperature"),
    ],
)
def test_a_version_that_cannot_be_called_names_the_field(bought: Bought, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(Inadmissible, match=problem):
        load_generator(bought.manifest().model_copy(update=change), bought.folder, bought.file)


def test_without_its_connection_a_version_is_not_loaded(bought: Bought) -> None:
    with pytest.raises(Inadmissible, match=r"start it with --connection FILE"):
        load_generator(bought.manifest(), bought.folder)
    bought.file.write_text(f'{{"name": "openai", "key": "{KEY}", "connection": 7}}')
    with pytest.raises(Inadmissible, match=r"--connection: cannot be read") as raised:
        load_generator(bought.manifest(), bought.folder, bought.file)
    assert KEY not in str(raised.value)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def terms_with(**limits: int) -> Terms:
    document = Connection.model_validate({"endpoint": "https://a.example", "limits": limits})
    return Terms("openai", document, "", ModelTerms())


def test_requests_and_tokens_per_minute_are_limited() -> None:
    clock = Clock()
    throttle, terms = Throttle(clock), terms_with(requests_per_minute=2)
    for _ in range(2):
        with throttle.call(terms):
            clock.now += 1
    with pytest.raises(ProviderError, match=r"2 requests within a minute") as raised, throttle.call(terms):
        pass
    assert raised.value.retry_after_s == 58
    clock.now += 58
    terms = terms_with(tokens_per_minute=100)
    with throttle.call(terms):
        throttle.used(100)
    with pytest.raises(ProviderError, match=r"100 tokens within a minute") as raised, throttle.call(terms):
        pass
    assert raised.value.retry_after_s == 60
    clock.now += 60
    with throttle.call(terms):
        pass


def test_requests_at_one_time_are_limited() -> None:
    throttle, terms = Throttle(), terms_with(concurrent_requests=1)
    with throttle.call(terms), pytest.raises(ProviderError, match=r"concurrent_requests"), throttle.call(terms):
        pass
    with throttle.call(terms):
        pass


def test_a_caller_that_leaves_ends_the_call(bought: Bought) -> None:
    bought.provider.stall_after = 1
    pieces: Any = load_generator(bought.manifest(), bought.folder, bought.file).generate("to be", {})
    assert next(pieces) == "to "
    pieces.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("Timer")]
