"""`predict.py` of others: what it may answer, and how its errors read."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts.manifest import ModelManifest, Permissions
from modelyard_contracts.signature import Column, ColumnType
from modelyard_flavours import FlavourError, Inadmissible, check_admissible, load_model

from .conftest import COLUMNS, NAMES, assert_rows_alone, foreign_manifest

NUMERIC = np.array([[1.0, 2.0], [np.nan, 3.0]])
TEXTS = np.array([["red"], [None]], dtype=object)


def write(folder: Path, code: str, classes: int = 3, **fields: Any) -> ModelManifest:
    (folder / "predict.py").write_text(textwrap.dedent(code))
    fields = {"permissions": Permissions(code=True, reason="a test"), **fields}
    return foreign_manifest(folder, "python", fields.pop("columns", COLUMNS), NAMES.get(classes, ()), **fields)


@pytest.mark.parametrize(
    "answers",
    ["['middle', 'high']", "[1, 2]", "[[0, 1, 0], [0, 0, 1]]", "[{'middle': 1}, {'high': 1.0, 'low': 0}]"],
    ids=["labels", "places", "scores", "mappings"],
)
def test_each_form_of_answer_becomes_scores_in_the_order_of_the_classes(tmp_path: Path, answers: str) -> None:
    manifest = write(tmp_path, f"def predict(rows):\n    return {answers}")
    scores = load_model(manifest, tmp_path).predict(NUMERIC, TEXTS)
    np.testing.assert_array_equal(scores, [[0, 1, 0], [0, 0, 1]])


def test_rows_have_the_names_and_types_of_the_signature(tmp_path: Path) -> None:
    columns = (
        Column(name="age", type=ColumnType.INTEGER),
        Column(name="city", type=ColumnType.CATEGORY),
        Column(name="member", type=ColumnType.BOOLEAN),
    )
    code = """
    def predict(rows):
        assert rows == [{"age": 41, "city": "Ulm", "member": True}, {"age": None, "city": None, "member": False}], rows
        assert [type(value) for value in rows[0].values()] == [int, str, bool]
        return [1.5, 2]
    """
    predictor = load_model(write(tmp_path, code, 0, columns=columns), tmp_path)
    values = predictor.predict(np.array([[41.0, 1.0], [np.nan, 0.0]]), np.array([["Ulm"], [None]], dtype=object))
    np.testing.assert_array_equal(values, [[1.5], [2.0]])


def test_load_is_called_once_with_the_folder_and_modules_beside_it_are_found(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text("def rule(x, limit): return 'yes' if (x or 0) > limit else 'no'\n")
    (tmp_path / "limit.txt").write_text("1.5")
    code = """
    import rules
    limits = []
    def load(folder): limits.append(float((folder / "limit.txt").read_text()))
    def predict(rows): return [rules.rule(row["y"], *limits) for row in rows]
    """
    predictor = load_model(write(tmp_path, code, 2), tmp_path)
    np.testing.assert_array_equal(predictor.predict(NUMERIC, TEXTS), [[0, 1], [0, 1]])
    assert_rows_alone(predictor, NUMERIC, TEXTS)


def test_without_the_permission_it_is_refused(tmp_path: Path) -> None:
    manifest = write(tmp_path, "raise SystemExit('was run')", permissions=Permissions())
    for refuse in (check_admissible, load_model):
        with pytest.raises(Inadmissible, match="runs only with the permission `code`"):
            refuse(manifest, tmp_path)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def predict(rows):\n    return rows[0]['colour'] / 2", r"predict\.py:2: TypeError: unsupported operand"),
        ("import nothing_there", r"predict\.py:1: ModuleNotFoundError"),
        ("def predict(rows) return 1", r"predict\.py:1: SyntaxError"),
        ("raise SystemExit(3)", r"predict\.py:1: SystemExit: 3"),
        ("def load(folder):\n    1 / 0\ndef predict(rows): ...", r"predict\.py:2: ZeroDivisionError"),
        ("x = 1", "has no function predict"),
        ("def predict(rows): return ['low']", "returned 1 answers for 2 rows"),
        ("def predict(rows): return None", "returned NoneType answers"),
        ("def predict(rows): return ['low', 'blue']", "row 1: the label 'blue' is not a class; the classes are low"),
        ("def predict(rows): return [[1, 0], [1, 0]]", "row 0: 2 scores for 3 classes"),
        ("def predict(rows): return [{'odd': 1}] * 2", "row 0: the label 'odd' is not a class"),
        ("def predict(rows): return [object()] * 2", "row 0: the label <object"),
    ],
)
def test_an_error_of_the_code_names_its_place(tmp_path: Path, code: str, reason: str) -> None:
    with pytest.raises(FlavourError, match=reason):
        load_model(write(tmp_path, code), tmp_path).predict(NUMERIC, TEXTS)


def test_an_error_in_a_module_beside_it_names_that_module(tmp_path: Path) -> None:
    (tmp_path / "helper_of_rules.py").write_text("def half(x):\n    return x / 0\n")
    code = "import helper_of_rules\ndef predict(rows): return [helper_of_rules.half(1)]"
    with pytest.raises(FlavourError, match=r"helper_of_rules\.py:2: ZeroDivisionError"):
        load_model(write(tmp_path, code), tmp_path).predict(NUMERIC[:1], TEXTS[:1])
