"""Regressions, texts and extreme numbers; expected values come from scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelyard_flavours import (
    Encoding,
    FittedSklearn,
    FittedText,
    Inadmissible,
    Vocabulary,
    check_admissible,
    load_model,
    save_model,
)
from modelyard_flavours.predictor import ObjectArray
from modelyard_flavours.texts import terms

from .conftest import Rows, manifest_of, text_manifest_of

REGRESSORS: dict[str, Any] = {
    "ridge": lambda: make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), Ridge()),
    "boosting": lambda: HistGradientBoostingRegressor(max_iter=20, random_state=0),
    "extra-trees": lambda: ExtraTreesRegressor(20, max_depth=8, random_state=0),
    "forest": lambda: RandomForestRegressor(20, max_depth=8, random_state=0),
}


def values_of(rows: Rows) -> Any:
    return np.nan_to_num(rows.numeric).sum(axis=1) * 100 + rows.labels


def unlabelled(rows: Rows) -> Encoding:
    return Encoding.learn(rows.numeric, rows.categorical, ())


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regression_predicts_as_scikit_learn_does(tmp_path: Path, rows: Rows, name: str) -> None:
    encoding = unlabelled(rows)
    estimator = REGRESSORS[name]().fit(rows.matrix, values_of(rows))
    save_model("sklearn", FittedSklearn(estimator, encoding), tmp_path)
    manifest = manifest_of(tmp_path, classes=())
    check_admissible(manifest, tmp_path)

    predictor = load_model(manifest, tmp_path)
    new = Rows(rows=300, seed=8)
    values = predictor.predict(new.numeric, new.categorical)

    assert predictor.classes == () and values.shape == (300, 1)
    expected = estimator.predict(encoding.matrix(new.numeric, new.categorical))
    np.testing.assert_allclose(values[:, 0], expected, rtol=1e-9)
    one_by_one = [predictor.predict(new.numeric[n : n + 1], new.categorical[n : n + 1])[0, 0] for n in range(20)]
    np.testing.assert_allclose(values[:20, 0], one_by_one, rtol=1e-12)
    assert predictor.predict(new.numeric[:0], new.categorical[:0]).shape == (0, 1)


@pytest.mark.parametrize("classes", [(), ("a", "b")], ids=["no classes", "classes"])
def test_task_and_estimator_must_agree(tmp_path: Path, rows: Rows, classes: tuple[str, ...]) -> None:
    estimator = Ridge() if classes else LogisticRegression()
    fitted = estimator.fit(np.nan_to_num(rows.matrix), rows.labels % 2)
    encoding = Encoding.learn(rows.numeric, rows.categorical, classes)
    with pytest.raises(Inadmissible, match=r"a regressor has no classes|a classifier needs its classes"):
        save_model("sklearn", FittedSklearn(fitted, encoding), tmp_path)


def test_another_loss_than_squared_error_is_refused(tmp_path: Path, rows: Rows) -> None:
    fitted = HistGradientBoostingRegressor(loss="absolute_error", max_iter=3).fit(rows.matrix, values_of(rows))
    with pytest.raises(Inadmissible, match=r"absolute_error|AbsoluteError"):
        save_model("sklearn", FittedSklearn(fitted, unlabelled(rows)), tmp_path)


@pytest.mark.parametrize("huge", [1e39, -1e306, 1.7e308, np.inf, np.nan])
def test_numbers_beyond_float32_count_as_missing(saved: Path, huge: float) -> None:
    predictor = load_model(manifest_of(saved), saved)
    kind = np.array([["a"]], dtype=object)
    np.testing.assert_array_equal(
        predictor.predict(np.array([[huge, 1.0]]), kind), predictor.predict(np.array([[np.nan, 1.0]]), kind)
    )


def test_the_largest_numbers_give_finite_scores(saved: Path) -> None:
    predictor = load_model(manifest_of(saved), saved)
    for value in (3.4e38, -3.4e38):
        scores = predictor.predict(np.array([[value, value]]), np.array([["a"]], dtype=object))
        np.testing.assert_allclose(scores.sum(), 1)


def test_an_encoding_of_the_first_format_still_loads() -> None:
    old = '{"schema_version": 1, "numeric": 2, "categories": [["a", "b"]], "classes": ["no", "yes"]}'
    encoding = Encoding.model_validate_json(old)
    assert encoding.width == 4
    matrix = encoding.matrix(np.array([[1.0, 2.0]]), np.array([["b"]], dtype=object))
    assert matrix.tolist() == [[1, 2, 0, 1]]


def test_words_of_a_text_column_are_counted_in_buckets() -> None:
    texts = np.array([["red red apple", "x"], [None, "y"], ["Red", None]], dtype=object)
    encoding = Encoding.learn(np.zeros((3, 0)), texts, ("no", "yes"), texts=(True, False))
    assert (encoding.width, encoding.categories) == (66, ((), ("x", "y")))
    matrix = encoding.matrix(np.zeros((3, 0)), texts)
    assert matrix[0, :64].sum() == pytest.approx(np.log(3) + np.log(2))  # two of one word, one of another
    assert not matrix[1, :64].any() and matrix[2, :64].sum() == pytest.approx(np.log(2))
    assert matrix[:, 64:].tolist() == [[1, 0], [0, 1], [0, 0]]


TEXTS: ObjectArray = np.array(
    [["great fun, great cast"], ["dull and slow"], ["a great story"], ["slow, dull, bad"], ["fun"], ["bad cast"]] * 5,
    dtype=object,
)
LABELS = np.array([1, 0, 1, 0, 1, 0] * 5)


def fitted_text() -> tuple[FittedText, Any, Any]:
    vectors = TfidfVectorizer(analyzer=lambda text: list(terms(text)), sublinear_tf=True)
    matrix = vectors.fit_transform(TEXTS[:, 0])
    model = LogisticRegression().fit(matrix, LABELS)
    weight = np.concatenate([np.zeros_like(model.coef_), model.coef_])
    bias = np.array([0.0, float(model.intercept_[0])])
    vocabulary = Vocabulary(terms=tuple(vectors.get_feature_names_out()), classes=("bad", "good"))
    return FittedText(vectors.idf_, weight, bias, vocabulary), vectors, model


def test_a_text_classifier_scores_as_scikit_learn_does(tmp_path: Path) -> None:
    fitted, vectors, model = fitted_text()
    save_model("text-linear", fitted, tmp_path)
    manifest = text_manifest_of(tmp_path, ("bad", "good"))
    check_admissible(manifest, tmp_path)
    predictor = load_model(manifest, tmp_path)

    new: ObjectArray = np.array([["great story"], ["slow slow film"], ["unknown words"], [None], [""]], dtype=object)
    scores = predictor.predict(np.zeros((5, 0)), new)

    expected = model.predict_proba(vectors.transform([text or "" for text in new[:, 0]]))
    np.testing.assert_allclose(scores, expected, atol=1e-6)  # weights are stored as float32
    alone = [predictor.predict(np.zeros((1, 0)), new[n : n + 1])[0] for n in range(5)]
    np.testing.assert_array_equal(scores, alone)
    assert predictor.predict(np.zeros((0, 0)), new[:0]).shape == (0, 2)


def test_a_text_classifier_with_wrong_tensors_is_refused(tmp_path: Path) -> None:
    fitted, _, _ = fitted_text()
    bent = FittedText(fitted.idf[:-1], fitted.weight, fitted.bias, fitted.vocabulary)
    with pytest.raises(Inadmissible, match="idf is not"):
        save_model("text-linear", bent, tmp_path)
