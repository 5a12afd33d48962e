"""Boosters that others saved: the answers are those of the library, fed with a pandas frame as its users do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts.signature import Column, ColumnType
from modelyard_flavours import Inadmissible, load_model

from .conftest import COLUMNS, NAMES, Table, assert_rows_alone, foreign_manifest

xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")


def fit(library: str, table: Table, classes: int, **settings: Any) -> Any:
    """A small model of the library's scikit-learn interface; 0 classes is a regression."""
    kind = "Classifier" if classes else "Regressor"
    target = table.labels if classes else table.values
    if library == "xgboost":
        model = getattr(xgboost, f"XGB{kind}")(n_estimators=8, enable_categorical=True, n_jobs=1, **settings)
    else:
        model = getattr(lightgbm, f"LGBM{kind}")(n_estimators=8, n_jobs=1, verbose=-1, **settings)
    return model.fit(table.frame, target)


def save(model: Any, folder: Path, suffix: str) -> None:
    folder.mkdir(exist_ok=True)
    getattr(model, "booster_", model).save_model(folder / f"model.{suffix}")


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize(("library", "suffix"), [("xgboost", "json"), ("xgboost", "ubj"), ("lightgbm", "txt")])
def test_a_booster_answers_as_its_library(tmp_path: Path, library: str, suffix: str, classes: int) -> None:
    table, new = Table(classes=classes or 2), Table(seed=4)
    model = fit(library, table, classes)
    save(model, tmp_path, suffix)
    predictor = load_model(foreign_manifest(tmp_path, library, COLUMNS, NAMES.get(classes, ())), tmp_path)

    expected = model.predict_proba(new.frame) if classes else model.predict(new.frame)[:, None]
    answers = predictor.predict(new.numeric, new.categorical)

    np.testing.assert_allclose(answers, expected, rtol=1e-6, atol=1e-7)
    assert (predictor.classes, predictor.shape) == (NAMES.get(classes, ()), (2, 1))
    assert_rows_alone(predictor, new.numeric, new.categorical)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_an_unknown_category_counts_as_missing(tmp_path: Path, library: str) -> None:
    save(fit(library, Table(), 2), tmp_path, "txt" if library == "lightgbm" else "json")
    predictor = load_model(foreign_manifest(tmp_path, library, COLUMNS, NAMES[2]), tmp_path)
    numeric = np.zeros((2, 2))
    odd, missing = predictor.predict(numeric, np.array([["violet"], [None]], dtype=object))
    np.testing.assert_array_equal(odd, missing)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_the_models_order_of_columns_counts_not_that_of_the_signature(tmp_path: Path, library: str) -> None:
    table = Table()
    model = fit(library, table, 2)
    save(model, tmp_path, "txt" if library == "lightgbm" else "json")
    turned = (COLUMNS[2], COLUMNS[1], COLUMNS[0])
    predictor = load_model(foreign_manifest(tmp_path, library, turned, NAMES[2]), tmp_path)
    answers = predictor.predict(table.numeric[:, ::-1], table.categorical)
    np.testing.assert_allclose(answers, model.predict_proba(table.frame), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_other_columns_than_the_signatures_are_refused_by_name(tmp_path: Path, library: str) -> None:
    save(fit(library, Table(), 2), tmp_path, "txt" if library == "lightgbm" else "json")
    columns = (*COLUMNS[:2], Column(name="z"))
    with pytest.raises(Inadmissible, match="other columns than the signature: y, z"):
        load_model(foreign_manifest(tmp_path, library, columns, NAMES[2]), tmp_path)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_an_objective_that_does_not_fit_the_task_is_refused(tmp_path: Path, library: str) -> None:
    save(fit(library, Table(), 2), tmp_path, "txt" if library == "lightgbm" else "json")
    with pytest.raises(Inadmissible, match=r"objective binary\S*, which does not fit the task regression"):
        load_model(foreign_manifest(tmp_path, library, COLUMNS), tmp_path)


def test_softmax_margins_are_read_as_scores(tmp_path: Path) -> None:
    table = Table(classes=3)
    data = xgboost.DMatrix(table.frame, table.labels, enable_categorical=True)
    booster = xgboost.train({"objective": "multi:softmax", "num_class": 3, "nthread": 1}, data, 5)
    booster.save_model(tmp_path / "model.json")
    predictor = load_model(foreign_manifest(tmp_path, "xgboost", COLUMNS, NAMES[3]), tmp_path)
    scores = predictor.predict(table.numeric, table.categorical)
    np.testing.assert_array_equal(scores.argmax(axis=1), booster.predict(data).astype(int))
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


def test_trees_after_the_best_iteration_do_not_count(tmp_path: Path) -> None:
    table, new = Table(), Table(seed=4)
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, enable_categorical=True, n_jobs=1)
    model.fit(table.frame, table.labels, eval_set=[(new.frame, new.labels)], verbose=False)
    assert model.best_iteration < 57
    save(model, tmp_path, "json")
    predictor = load_model(foreign_manifest(tmp_path, "xgboost", COLUMNS, NAMES[2]), tmp_path)
    scores = predictor.predict(new.numeric, new.categorical)
    np.testing.assert_allclose(scores, model.predict_proba(new.frame), rtol=1e-6, atol=1e-7)


def test_categories_that_the_file_does_not_hold_come_from_an_option(tmp_path: Path) -> None:
    table = Table()
    matrix = np.column_stack([table.numeric[:, 0], table.frame["colour"].cat.codes, table.numeric[:, 1]])
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(
        matrix, table.labels, categorical_feature=[1]
    )
    save(model, tmp_path, "txt")
    with pytest.raises(Inadmissible, match="colour: is a category without codes"):
        load_model(foreign_manifest(tmp_path, "lightgbm", COLUMNS, NAMES[2]), tmp_path)

    stated = {"categories": '{"colour": ["blue", "green", "red"]}'}
    manifest = foreign_manifest(tmp_path, "lightgbm", COLUMNS, NAMES[2], options=stated)
    known = table.categorical[:, 0] != None  # noqa: E711  element by element
    scores = load_model(manifest, tmp_path).predict(table.numeric[known], table.categorical[known])
    np.testing.assert_allclose(scores, model.predict_proba(matrix[known]), rtol=1e-6, atol=1e-7)


def test_a_text_column_is_refused(tmp_path: Path) -> None:
    save(fit("xgboost", Table(), 2), tmp_path, "json")
    columns = (COLUMNS[0], Column(name="colour", type=ColumnType.TEXT), COLUMNS[2])
    with pytest.raises(Inadmissible, match="colour: is a text"):
        load_model(foreign_manifest(tmp_path, "xgboost", columns, NAMES[2]), tmp_path)


def test_two_files_that_could_be_the_model_need_the_option(tmp_path: Path) -> None:
    save(fit("xgboost", Table(), 2), tmp_path, "json")
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(
        Inadmissible, match=r"one file is needed, found: model\.json, notes\.json; name it in the option"
    ):
        load_model(foreign_manifest(tmp_path, "xgboost", COLUMNS, NAMES[2]), tmp_path)
    load_model(foreign_manifest(tmp_path, "xgboost", COLUMNS, NAMES[2], options={"model": "model.json"}), tmp_path)


def test_an_altered_booster_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    save(fit("xgboost", Table(), 2), tmp_path, "json")
    manifest = foreign_manifest(tmp_path, "xgboost", COLUMNS, NAMES[2])
    (tmp_path / "model.json").write_text(" " * manifest.files[0].size_bytes)
    with pytest.raises(Inadmissible, match=r"model\.json: has the digest"):
        load_model(manifest, tmp_path)
