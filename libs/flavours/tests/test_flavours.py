"""A saved model comes back with the same answers; numbers to compare with come from scikit-learn itself."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelyard_flavours import FittedMlp, FittedSklearn, Inadmissible, check_admissible, load_model, save_model

from .conftest import CLASSES, Rows, manifest_of

ESTIMATORS: dict[str, Any] = {
    "logistic": lambda: make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression()),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "extra-trees": lambda: ExtraTreesClassifier(20, max_depth=8, random_state=0),
    "forest": lambda: RandomForestClassifier(20, max_depth=8, random_state=0),
}


@pytest.mark.parametrize("classes", [("no", "yes"), CLASSES], ids=len)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_loaded_model_scores_as_scikit_learn_does(tmp_path: Path, name: str, classes: tuple[str, ...]) -> None:
    rows = Rows(classes=classes)
    estimator = ESTIMATORS[name]().fit(rows.matrix, rows.labels)
    assert len(save_model("sklearn", FittedSklearn(estimator, rows.encoding), tmp_path)) == 2

    predictor = load_model(manifest_of(tmp_path, classes=classes), tmp_path)
    new = Rows(rows=700, seed=8, classes=classes)
    scores = predictor.predict(new.numeric, new.categorical)

    expected = estimator.predict_proba(rows.encoding.matrix(new.numeric, new.categorical))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        predictor.predict(new.numeric[:1], new.categorical[:1]), expected[:1], rtol=0, atol=1e-12
    )
    assert predictor.classes == classes
    assert predictor.predict(new.numeric[:0], new.categorical[:0]).shape == (0, len(classes))


def test_a_class_that_training_never_saw_has_the_score_zero(tmp_path: Path, rows: Rows) -> None:
    seen = rows.labels != 1
    estimator = ESTIMATORS["boosting"]().fit(rows.matrix[seen], rows.labels[seen])
    save_model("sklearn", FittedSklearn(estimator, rows.encoding), tmp_path)

    scores = load_model(manifest_of(tmp_path), tmp_path).predict(rows.numeric, rows.categorical)

    assert (scores[:, 1] == 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1)


def test_infinite_and_unknown_values_count_as_missing(saved: Path) -> None:
    predictor = load_model(manifest_of(saved), saved)
    odd = predictor.predict(np.array([[np.inf, -np.inf]]), np.array([["never seen"]], dtype=object))
    missing = predictor.predict(np.array([[np.nan, np.nan]]), np.array([[None]], dtype=object))
    np.testing.assert_array_equal(odd, missing)


def test_rows_of_the_wrong_width_are_refused_with_both_shapes(saved: Path) -> None:
    predictor = load_model(manifest_of(saved), saved)
    with pytest.raises(ValueError, match=r"numeric \(1, 3\).*2 numeric"):
        predictor.predict(np.zeros((1, 3)), np.array([["a"]], dtype=object))


def mlp(rows: Rows, hidden: int = 4) -> FittedMlp:
    rng = np.random.default_rng(1)
    width = rows.encoding.width
    shapes = {"layers.0.weight": (hidden, width), "layers.0.bias": (hidden,)}
    shapes |= {"layers.1.weight": (3, hidden), "layers.1.bias": (3,)}
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    tensors |= {"input.mean": np.zeros(width, np.float32), "input.scale": np.ones(width, np.float32)}
    return FittedMlp(tensors, rows.encoding)


def test_a_perceptron_comes_back_and_gives_shares(tmp_path: Path, rows: Rows) -> None:
    save_model("torch-mlp", mlp(rows), tmp_path)
    scores = load_model(manifest_of(tmp_path, "torch-mlp"), tmp_path).predict(rows.numeric, rows.categorical)
    assert scores.shape == (600, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1)


def test_a_perceptron_scores_as_torch_does(tmp_path: Path, rows: Rows) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    fitted = mlp(rows)
    save_model("torch-mlp", fitted, tmp_path)
    layers = torch.nn.Sequential(torch.nn.Linear(rows.encoding.width, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    for place, n in ((0, 0), (2, 1)):
        layers[place].weight.data = torch.from_numpy(fitted.tensors[f"layers.{n}.weight"])
        layers[place].bias.data = torch.from_numpy(fitted.tensors[f"layers.{n}.bias"])
    with torch.no_grad():
        expected = torch.softmax(layers(torch.from_numpy(np.nan_to_num(rows.matrix)).float()), dim=1).numpy()
    scores = load_model(manifest_of(tmp_path, "torch-mlp"), tmp_path).predict(rows.numeric, rows.categorical)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_perceptron_with_a_wrong_shape_is_refused(tmp_path: Path, rows: Rows) -> None:
    fitted = mlp(rows)
    fitted.tensors["layers.1.weight"] = np.zeros((3, 5), np.float32)
    with pytest.raises(Inadmissible, match=r"layers\.1 has the shape \(3, 5\) for 4 inputs"):
        save_model("torch-mlp", fitted, tmp_path)


@pytest.mark.process
def test_checking_needs_neither_scikit_learn_nor_skops(saved: Path) -> None:
    manifest = manifest_of(saved)
    program = (
        "import sys; from pathlib import Path; import modelyard_flavours as f;"
        "from modelyard_contracts.manifest import ModelManifest as M;"
        f"f.check_admissible(M.model_validate_json({manifest.model_dump_json()!r}), Path({str(saved)!r}));"
        "assert not {'sklearn', 'skops', 'torch', 'scipy', 'pandas'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    check_admissible(manifest, saved)
