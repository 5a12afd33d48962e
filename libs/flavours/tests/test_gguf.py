"""Language models in GGUF files: the answers of the folder that they were made of, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from modelyard_contracts.inference.generate import ChatMessage
from modelyard_contracts.signature import Column, ColumnType, Output, Task
from modelyard_flavours import check_admissible, load_generator
from modelyard_flavours.errors import BadParameter, FlavourError, Inadmissible, MissingExtra, Unloadable
from modelyard_flavours.predictor import Generator

from .conftest import foreign_manifest
from .gguf_files import write_gguf

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("gguf", reason="gguf is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TEXT = [Column(name="prompt", type=ColumnType.TEXT)]
REPLY = Output(task=Task.TEXT, name="reply")
FILE = "model.gguf"


def opened(folder: Path, **options: str) -> Generator:
    manifest = foreign_manifest(folder, "transformers", TEXT, text=True, output=REPLY, options=options)
    return load_generator(manifest, folder)


def whole(generator: Generator, prompt: Any, **parameters: Any) -> str:
    return "".join(generator.generate(prompt, {"max_tokens": 16, **parameters}))


@pytest.mark.parametrize("name", [FILE, "weights.bin"])
@pytest.mark.parametrize("text", ["the quick brown", "不错的电影", "é"])
def test_a_gguf_file_answers_as_the_folder_that_it_was_made_of(
    language_model: Path, tmp_path: Path, text: str, name: str
) -> None:
    write_gguf(language_model, tmp_path / name)
    theirs, ours = opened(language_model), opened(tmp_path, model=name)
    assert ours.count_tokens(text) == theirs.count_tokens(text)
    assert whole(ours, text) == whole(theirs, text)
    drawn = {"temperature": 1.5, "seed": 1, "max_tokens": 5}
    assert len(list(ours.generate(text, drawn))) in (5, 6), "a piece per token, and what was held back"


def test_quantised_weights_answer_a_chat_through_the_template_of_the_file(language_model: Path, tmp_path: Path) -> None:
    template = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    write_gguf(language_model, tmp_path / FILE, template=template, quantised=True)
    generator = opened(tmp_path, model=FILE)
    chat = [ChatMessage("user", "the quick")]
    assert generator.count_tokens(chat) == opened(language_model).count_tokens("[user]the quick")
    assert whole(generator, chat, temperature=1.5, seed=1)


def test_without_a_template_a_chat_is_refused(language_model: Path, tmp_path: Path) -> None:
    write_gguf(language_model, tmp_path / FILE)
    with pytest.raises(BadParameter, match="messages: need a chat template"):
        opened(tmp_path, model=FILE).generate([ChatMessage("user", "the")], {})


def test_a_file_that_is_not_gguf_and_a_task_that_it_cannot_have_are_refused(
    language_model: Path, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_bytes(b"GGML" + bytes(100))
    with pytest.raises(Inadmissible, match=r"model\.gguf: is no GGUF file"):
        opened(tmp_path, model=FILE)
    write_gguf(language_model, tmp_path / FILE)
    with pytest.raises(Inadmissible, match="is missing"):
        opened(tmp_path, model="another.gguf")
    classes = foreign_manifest(tmp_path, "transformers", TEXT, ("bad", "good"), text=True, options={"model": FILE})
    with pytest.raises(Inadmissible, match="is a language model, which has the task text, not binary"):
        check_admissible(classes, tmp_path)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text("{}")
    with pytest.raises(Inadmissible, match="an adapter is not added to a GGUF file"):
        opened(tmp_path, model=FILE)


def test_a_cut_file_and_an_unknown_architecture_are_errors_of_the_version(language_model: Path, tmp_path: Path) -> None:
    content = write_gguf(language_model, tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(FlavourError):
        opened(tmp_path, model=FILE)
    (tmp_path / FILE).write_bytes(content.replace(b"llama", b"lamma"))
    with pytest.raises(Unloadable, match="lamma"):
        opened(tmp_path, model=FILE)


def test_a_missing_library_is_named_with_its_extra(
    language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(language_model, tmp_path / FILE)
    monkeypatch.setitem(__import__("sys").modules, "accelerate", None)
    with pytest.raises(MissingExtra, match="accelerate"):
        opened(tmp_path, model=FILE)
