"""Small models that tests save, bend and load."""

from pathlib import Path

import numpy as np
import pytest

from modelyard_contracts.manifest import Feature, FeatureKind, FeatureSchema, ModelManifest, TrainingLineage, signed
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
    """Of whatever files lie in the folder now."""
    return ModelManifest(
        model="shifts",
        flavour=flavour,
        files=tuple(entry_of(folder, path.name) for path in sorted(folder.iterdir())),
        **signed(
            FeatureSchema(
                features=(Feature(name="x"), Feature(name="y"), Feature(name="kind", kind=FeatureKind.CATEGORICAL)),
                classes=classes,
            )
        ),
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
