"""Causal language models of the transformers library: the same text as the library, token by token."""

from pathlib import Path
from typing import Any

import pytest

from modelyard_contracts.inference.generate import ChatMessage
from modelyard_contracts.signature import Column, ColumnType, Output, Task
from modelyard_flavours import load_generator, load_model
from modelyard_flavours.errors import BadParameter, Inadmissible
from modelyard_flavours.predictor import Generator

from .conftest import CONTEXT_TOKENS, foreign_manifest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TEXT = [Column(name="prompt", type=ColumnType.TEXT)]
TEMPLATE = "{% for message in messages %}<user>{{ message['content'] }}</user>{% endfor %}"


@pytest.fixture
def folder(language_model: Path) -> Path:
    return language_model


def opened(folder: Path) -> Generator:
    output = Output(task=Task.TEXT, name="reply")
    return load_generator(foreign_manifest(folder, "transformers", TEXT, text=True, output=output), folder)


def whole(generator: Generator, text: str, **parameters: Any) -> str:
    return "".join(generator.generate(text, parameters))


@pytest.mark.parametrize("text", ["the quick brown", "不错的电影", "", "é"])
def test_the_most_likely_answer_is_that_of_the_library(folder: Path, text: str) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    given = tokenizer(text or " ", return_tensors="pt").input_ids
    with torch.no_grad():
        made = model.generate(given, max_new_tokens=24, do_sample=False)[0, given.shape[1] :]
    assert whole(opened(folder), text, max_tokens=24) == tokenizer.decode(made, skip_special_tokens=True)


def test_there_is_one_piece_per_token_and_the_context_is_the_limit(folder: Path) -> None:
    generator, drawn = opened(folder), {"temperature": 1.5, "seed": 1}
    assert len(list(generator.generate("the quick", {"max_tokens": 5, **drawn}))) in (5, 6)  # and what was held back
    used = generator.count_tokens("the quick")
    assert len(list(generator.generate("the quick", {"max_tokens": 1_000, **drawn}))) <= CONTEXT_TOKENS - used + 1


def test_a_limit_that_ends_the_answer_is_its_reason(folder: Path) -> None:
    pieces = opened(folder).generate("the quick", {"max_tokens": 2, "temperature": 1.5, "seed": 1})
    with pytest.raises(StopIteration) as ended:
        while True:
            next(pieces)
    assert ended.value.value == "length"


def test_a_seed_repeats_a_drawn_answer_and_another_one_does_not(folder: Path) -> None:
    generator = opened(folder)
    drawn = {"temperature": 1.5, "max_tokens": 20}
    first = whole(generator, "the", seed=1, **drawn)
    assert first == whole(generator, "the", seed=1, **drawn)
    assert first != whole(generator, "the", seed=2, **drawn)
    likely = whole(generator, "the", max_tokens=20)
    assert whole(generator, "the", top_p=1e-9, seed=5, **drawn) == likely


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"temprature": 1.0}, "temprature: is not a known field.*known are max_tokens, temperature"),
        ({"temperature": -1.0}, "temperature: must be"),
        ({"top_p": 0.0}, "top_p: must be"),
        ({"max_tokens": 0}, "max_tokens: must be"),
        ({"max_tokens": "many"}, "max_tokens: must be"),
        ({"seed": 1.5}, "seed: must be"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(folder: Path, parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(BadParameter, match=named):
        opened(folder).generate("the", parameters)


def test_an_input_that_leaves_no_room_is_refused(folder: Path) -> None:
    with pytest.raises(BadParameter, match=rf"text_input: has \d+ tokens; with its answer, {CONTEXT_TOKENS} at most"):
        opened(folder).generate("dog " * 200, {})


def test_a_chat_template_wraps_the_text(folder: Path, tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    plain, wrapped = len(tokenizer("fox").input_ids), len(tokenizer("<user>fox</user>").input_ids)
    assert opened(folder).count_tokens("fox") == plain
    tokenizer.chat_template = TEMPLATE
    transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert opened(tmp_path).count_tokens("fox") == wrapped


CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' and loop.length > 2 %}{{ raise_exception('no system here') }}"
    "{% endif %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
CHAT = [ChatMessage("system", "the lazy dog"), ChatMessage("user", "the quick")]


def test_a_chat_is_answered_through_the_models_template(folder: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.chat_template = CHAT_TEMPLATE
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    given = tokenizer("[system]the lazy dog[user]the quick[assistant]", return_tensors="pt").input_ids
    with torch.no_grad():
        made = model.generate(given, max_new_tokens=8, do_sample=False)[0, given.shape[1] :]

    generator = opened(tmp_path)
    found = "".join(generator.generate(CHAT, {"max_tokens": 8}))

    assert found == tokenizer.decode(made, skip_special_tokens=True)
    assert generator.count_tokens(CHAT) == given.shape[1]
    longer = [*CHAT, ChatMessage("assistant", "brown"), ChatMessage("user", "fox")]
    with pytest.raises(BadParameter, match="messages: are refused by the model's chat template: no system here"):
        generator.generate(longer, {})
    with pytest.raises(BadParameter, match=rf"messages: has \d+ tokens; with its answer, {CONTEXT_TOKENS} at most"):
        generator.generate([ChatMessage("user", "dog " * 200)], {})


def test_a_model_without_a_chat_template_says_so(folder: Path) -> None:
    with pytest.raises(BadParameter, match="messages: need a chat template"):
        opened(folder).generate(CHAT, {})


def test_a_language_model_answers_no_rows_and_a_folder_without_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Inadmissible, match=r"lack score\.weight, which LlamaForSequenceClassification needs"):
        load_model(foreign_manifest(folder, "transformers", TEXT, ("bad", "good"), text=True), folder)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(Inadmissible, match="safetensors: is missing"):
        opened(tmp_path)
