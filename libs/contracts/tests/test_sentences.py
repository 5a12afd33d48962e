"""Errors of validators become sentences with the field, the problem and the remedy."""

import inspect
import json
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

import pytest
from pydantic import BaseModel, Field, ValidationError

import modelyard_contracts
from modelyard_contracts.sentences import FORMS, explain, one_line
from modelyard_devstack.testing.sentences import flaws

BAD: Final[tuple[Any, ...]] = (
    None, True, -1, 0, 1.5, 1e308, float("inf"), float("nan"), 2**64, 10**400, "", " ", "\ud800", "a\x1b[31m\r\n",
    "x" * 5_000, b"\xff", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:60Z", [], {}, [None], {"": None}, {"a": [1]},
    {"kind": "bandit\x1b"}, ["x"] * 2_000,
)  # fmt: skip


def models() -> Iterator[type[BaseModel]]:
    for found in pkgutil.walk_packages(modelyard_contracts.__path__, "modelyard_contracts."):
        module = import_module(found.name)
        for _, each in inspect.getmembers(module, inspect.isclass):
            if issubclass(each, BaseModel) and each.__module__ == module.__name__:
                yield each


def refusals(model: type[BaseModel], value: Any) -> Iterator[ValidationError]:
    """The errors when the model, and each of its fields, is given the value."""
    names = [field.alias or name for name, field in model.model_fields.items()]
    for given in (value, *({name: value} for name in names), {"unknown\x1b" + "k" * 400: 1}):
        try:
            model.model_validate(given)
        except ValidationError as error:
            yield error


@pytest.mark.parametrize("model", list(models()), ids=lambda model: model.__name__)
def test_every_refusal_of_every_model_is_a_sentence(model: type[BaseModel]) -> None:
    seen = 0
    for value in BAD:
        for error in refusals(model, value):
            for item in error.errors():
                seen += 1
                explained = explain([item], "document")
                sentence = one_line(explained.sentence)
                assert flaws(sentence) == [], (item["type"], item["loc"], sentence)
                assert "see the documentation" not in sentence, item
    assert seen


def test_every_pattern_of_the_contracts_has_words() -> None:
    patterns = set()
    for model in models():
        text = json.dumps(model.model_json_schema())
        patterns |= set(_patterns(json.loads(text)))
    assert patterns - set(FORMS) == set()


def _patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for inner in schema.values():
            yield from _patterns(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _patterns(inner)


class Loan(BaseModel):
    amount: float = Field(gt=0)
    name: str = Field(max_length=3)
    tags: list[str] = Field(min_length=1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"amount": 1, "name": "a"}, "tags: is missing; send it"),
        ({"amount": 0, "name": "a", "tags": ["x"]}, "amount: must be more than 0"),
        ({"amount": 1, "name": "abcd", "tags": ["x"]}, "name: must be a value of at most 3 characters"),
        ({"amount": 1, "name": "a", "tags": []}, "tags: must be a value of at least 1 entries"),
        ({"amount": "x", "name": 7, "tags": ["x"]}, "amount: must be a number (and 1 more)"),
        ({"amount": 1, "name": "\ud800", "tags": ["x"]}, "name: holds half a character"),
        ([], "must be an object"),
    ],
)
def test_the_field_and_the_problem_are_named(given: Any, sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Loan.model_validate(given)
    assert explain(refused.value).sentence.startswith(sentence)


def test_a_long_name_is_shortened_and_a_terminal_escape_is_not_printed() -> None:
    with pytest.raises(ValidationError) as refused:
        Loan.model_validate({"amount": 1, "name": "a", "tags": {"k" * 400: 1}})
    assert len(explain(refused.value, "x\x1b[2J" + "y" * 400).sentence) < 200
    assert one_line("a\x1b[2Jb\nc " + "d" * 400) == "a\ufffd[2Jb c " + "d" * 77 + "..."
