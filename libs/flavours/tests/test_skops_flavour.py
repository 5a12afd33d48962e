"""scikit-learn pipelines of others: the answers are those of the pipeline, and only listed types are built."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.utils import all_estimators

from modelyard_contracts.signature import Column, ColumnType
from modelyard_flavours import Inadmissible, check_admissible, load_model
from modelyard_flavours.foreign.skops_types import REFUSED_LOADERS, trusted_nodes

from .conftest import COLUMNS, NAMES, Table, assert_rows_alone, foreign_manifest

NUMBERS = (Column(name="a"), Column(name="b"), Column(name="c"))
NO_TEXTS = np.zeros((300, 0), dtype=object)


def saved(model: Any, folder: Path) -> Any:
    skops.io.dump(model, folder / "model.skops")
    return model


def mixed(last: Any) -> Any:
    """Imputed and scaled numbers, one column per category."""
    return make_pipeline(
        ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["x", "y"]),
                ("colours", OneHotEncoder(handle_unknown="ignore"), ["colour"]),
            ]
        ),
        last,
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_a_pipeline_of_named_columns_scores_as_scikit_learn_in_the_order_of_the_signature(
    tmp_path: Path, classes: int
) -> None:
    table, new = Table(classes=classes), Table(seed=4)
    frame, new_frame = (one.frame.astype({"colour": object}) for one in (table, new))
    model = saved(mixed(RandomForestClassifier(8)).fit(frame, np.array(NAMES[classes])[table.labels]), tmp_path)
    predictor = load_model(foreign_manifest(tmp_path, "skops", COLUMNS, NAMES[classes]), tmp_path)

    order = [list(model.classes_).index(name) for name in NAMES[classes]]
    scores = predictor.predict(new.numeric, new.categorical)

    np.testing.assert_allclose(scores, model.predict_proba(new_frame)[:, order], atol=1e-12)
    assert_rows_alone(predictor, new.numeric, new.categorical, atol=1e-12)


def test_an_estimator_of_a_plain_matrix_gets_the_columns_in_the_order_of_the_signature(tmp_path: Path) -> None:
    table = Table()
    model = saved(GradientBoostingRegressor(n_estimators=5).fit(table.numbers, table.values), tmp_path)
    predictor = load_model(foreign_manifest(tmp_path, "skops", NUMBERS), tmp_path)
    np.testing.assert_allclose(predictor.predict(table.numbers, NO_TEXTS)[:, 0], model.predict(table.numbers))
    assert_rows_alone(predictor, table.numbers, NO_TEXTS)


def test_columns_chosen_by_place_get_a_matrix_of_objects(tmp_path: Path) -> None:
    table = Table()
    objects = table.frame.astype({"colour": object}).to_numpy(dtype=object)
    known = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    model = make_pipeline(
        ColumnTransformer([("n", SimpleImputer(), [0, 2]), ("c", known, [1])]), RandomForestClassifier(5)
    ).fit(objects, table.labels)
    saved(model, tmp_path)
    predictor = load_model(foreign_manifest(tmp_path, "skops", COLUMNS, NAMES[2]), tmp_path)
    np.testing.assert_allclose(predictor.predict(table.numeric, table.categorical), model.predict_proba(objects))


def test_a_classifier_of_texts_gets_a_list_of_texts(tmp_path: Path) -> None:
    texts = ["good fine", "bad poor", "fine", "poor"] * 5
    model = saved(make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["yes", "no"] * 10), tmp_path)
    columns = [Column(name="text", type=ColumnType.TEXT)]
    predictor = load_model(foreign_manifest(tmp_path, "skops", columns, NAMES[2], text=True), tmp_path)
    asked = np.array([["good"], [None]], dtype=object)
    np.testing.assert_allclose(predictor.predict(np.zeros((2, 0)), asked), model.predict_proba(["good", ""]))


def test_an_estimator_without_probabilities_answers_labels(tmp_path: Path) -> None:
    table = Table()
    model = saved(RidgeClassifier().fit(table.numbers, np.array(NAMES[2])[table.labels]), tmp_path)
    scores = load_model(foreign_manifest(tmp_path, "skops", NUMBERS, NAMES[2]), tmp_path).predict(
        table.numbers, NO_TEXTS
    )
    assert [NAMES[2][place] for place in scores.argmax(axis=1)] == list(model.predict(table.numbers))
    assert set(np.unique(scores)) == {0.0, 1.0}


def test_other_classes_than_the_signatures_are_refused(tmp_path: Path) -> None:
    table = Table()
    saved(LogisticRegression().fit(table.numbers, np.array(["a", "b"])[table.labels]), tmp_path)
    with pytest.raises(Inadmissible, match="has the classes a, b; the signature has"):
        load_model(foreign_manifest(tmp_path, "skops", NUMBERS, NAMES[2]), tmp_path)


def test_a_regressor_for_a_classification_is_refused(tmp_path: Path) -> None:
    table = Table()
    saved(GradientBoostingRegressor(n_estimators=2).fit(table.numbers, table.values), tmp_path)
    with pytest.raises(Inadmissible, match="holds GradientBoostingRegressor, which does not fit the task binary"):
        load_model(foreign_manifest(tmp_path, "skops", NUMBERS, NAMES[2]), tmp_path)


@pytest.mark.parametrize("function", [np.log1p, print, Path.read_text], ids=["ufunc", "builtin", "method"])
def test_a_pipeline_that_names_a_function_is_refused(tmp_path: Path, function: Any) -> None:
    saved(make_pipeline(FunctionTransformer(function), LogisticRegression()), tmp_path)
    with pytest.raises(Inadmissible, match="not on the trust list"):
        check_admissible(foreign_manifest(tmp_path, "skops", NUMBERS, NAMES[2]), tmp_path)


def test_the_list_holds_every_public_estimator_and_no_function() -> None:
    names = {name for loader, name in trusted_nodes() if loader == "ObjectNode"}
    missing = [kind.__name__ for _, kind in all_estimators() if f"{kind.__module__}.{kind.__qualname__}" not in names]
    assert not missing, "scikit-learn was upgraded: make the list again (skops_types.py)"
    assert not REFUSED_LOADERS & {loader for loader, _ in trusted_nodes()}
    assert not any(name.startswith(("os.", "subprocess.", "builtins.eval")) for name in names)
