"""Small models that tests save, bend and load."""

from pathlib import Path

import numpy as np
import pytest

from modelyard_contracts.manifest import ModelManifest, TrainingLineage
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id
from modelyard_flavours import Encoding, FittedSklearn, environment, save_model
from modelyard_flavours.files import entry_of
from modelyard_flavours.predictor import FloatArray, ObjectArray

CLASSES = ("DOWN", "SAME", "UP")


class Rows:
    """Two numeric features with holes, one categorical with holes, three classes."""

    def __init__(self, rows: int = 600, seed: int = 7, classes: tuple[str, ...] = CLASSES) -> None:
        rng = np.random.default_rng(seed)
        self.numeric: FloatArray = rng.normal(size=(rows, 2))
        self.categorical: ObjectArray = rng.choice(np.array(["a", "b", "rare", None], dtype=object), size=(rows, 1))
        signal = self.numeric[:, 0] + (self.categorical[:, 0] == "a") * 1.5 + rng.normal(size=rows) * 0.3
        cuts = np.quantile(signal, np.arange(1, len(classes)) / len(classes))
        self.labels = np.searchsorted(cuts, signal)
        self.numeric[rng.random((rows, 2)) < 0.1] = np.nan
        self.classes = classes
        self.encoding = Encoding.learn(self.numeric, self.categorical, classes)
        self.matrix = self.encoding.matrix(self.numeric, self.categorical)


@pytest.fixture
def rows() -> Rows:
    return Rows()


def manifest_of(folder: Path, flavour: str = "sklearn", classes: tuple[str, ...] = CLASSES) -> ModelManifest:
    """A manifest of all files in the folder, for the columns of Rows; without classes it is a regression."""
    columns = (Column(name="x"), Column(name="y"), Column(name="kind", type=ColumnType.CATEGORY))
    return _manifest(folder, flavour, Signature(columns=columns, output=_output(classes)))


def text_manifest_of(folder: Path, classes: tuple[str, ...]) -> ModelManifest:
    """A manifest of all files in the folder, for one text."""
    columns = (Column(name="text", type=ColumnType.TEXT),)
    return _manifest(folder, "text-linear", Signature(input="text", columns=columns, output=_output(classes)))


def _output(classes: tuple[str, ...]) -> Output:
    task = {0: Task.REGRESSION, 2: Task.BINARY}.get(len(classes), Task.MULTICLASS)
    return Output(task=task, classes=classes)


def _manifest(folder: Path, flavour: str, signature: Signature) -> ModelManifest:
    return ModelManifest(
        model="shifts",
        task=signature.task,
        flavour=flavour,
        files=tuple(entry_of(folder, path.name) for path in sorted(folder.iterdir())),
        signature=signature,
        feature_schema_id=new_schema_id(signature),
        training=TrainingLineage(recipe="test"),
        environment=environment(flavour),
    )


@pytest.fixture
def saved(tmp_path: Path, rows: Rows) -> Path:
    """A folder with a small logistic regression."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    estimator = make_pipeline(SimpleImputer(keep_empty_features=True), LogisticRegression()).fit(
        rows.matrix, rows.labels
    )
    save_model("sklearn", FittedSklearn(estimator, rows.encoding), tmp_path / "model")
    return tmp_path / "model"
