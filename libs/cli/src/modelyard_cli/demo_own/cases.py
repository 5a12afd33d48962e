"""The models of the demo: where their files are, and what their owner states about them."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A model as its author saved it. model, sample: relative to the folder of the demo."""

    name: str
    flavour: str
    model: str
    stated: Mapping[str, Any]
    sample: str = "sample.csv"
    code_reason: str = ""
    """Reason for the permission to run its Python code; empty if it has none."""
    shifted: Mapping[str, float] = field(default_factory=dict)
    """Column to factor, for the rows that drift."""

    def path(self, folder: Path) -> Path:
        """The model's file or folder."""
        return folder / self.name / self.model

    def rows(self, folder: Path, columns: list[str]) -> list[Row]:
        """Rows of the sample as requests: these columns, numbers as numbers, empty cells as missing."""
        with (folder / self.name / self.sample).open(newline="", encoding="utf-8") as file:
            return [{name: _value(row[name]) for name in columns} for row in csv.DictReader(file)]


def _value(cell: str) -> Any:
    if cell == "":
        return None
    try:
        value = json.loads(cell)
    except ValueError:
        return cell
    return value if isinstance(value, int | float) else cell


CASES: Final = (
    Case("own-cancer", "skops", "cancer.skops", {"target": "diagnosis"}),
    Case(
        "own-diabetes",
        "xgboost",
        "diabetes.json",
        {"target": "progression"},
        shifted={"bmi": 1.8, "bp": 1.5, "s5": 1.6},
    ),
    Case("own-digits", "onnx", "digits.onnx", {"target": "digit", "task": "multiclass"}),
    Case("own-reviews", "transformers", "reviews", {"target": "label"}),
    Case(
        "own-rules",
        "python",
        "rules",
        {"task": "binary", "target": "none"},
        sample="rules/sample.csv",
        code_reason="our own rules, reviewed",
    ),
)
SECOND_RULES: Final = "rules-2"
"""Folder of the second version of the rules."""
BAD_FILE: Final = "bad/model.pkl"
"""A pickle that would run a command."""
