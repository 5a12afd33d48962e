"""The lists of names: exact, and allowing nothing of a dangerous module beyond what is named here."""

import pytest

from modelyard_admission.notes import Verdict
from modelyard_admission.pickles.lists import allowed_names, judge
from modelyard_admission.pickles.values import Name

EXCEPTIONS = {"builtins", "pathlib", "torch.serialization"}
"""Modules on the list of dangerous ones of which single harmless names are allowed."""


def test_allowed_names_of_dangerous_modules_are_known_exceptions() -> None:
    dangerous = {module for module in allowed_names() if judge(Name(module, "anything")) is Verdict.MALICIOUS}

    assert dangerous == EXCEPTIONS


@pytest.mark.parametrize(
    "name", ["eval", "exec", "compile", "getattr", "setattr", "__import__", "open", "type", "vars", "map"]
)
def test_builtins_that_reach_code_are_not_allowed(name: str) -> None:
    assert judge(Name("builtins", name)) is Verdict.MALICIOUS


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sklearn.linear_model._ridge", "Ridge.fit"),
        ("sklearn.linear_model", "anything"),
        ("numpy", "linalg"),
        ("skl", "Ridge"),
    ],
)
def test_only_exact_names_are_allowed(module: str, name: str) -> None:
    assert judge(Name(module, name)) is Verdict.SUSPICIOUS
