"""Small models that tests save, bend and load."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts.manifest import ModelManifest, TrainingLineage, signed
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id
from modelyard_flavours import Encoding, FittedSklearn, environment, save_model
from modelyard_flavours.files import entry_of
from modelyard_flavours.predictor import FloatArray, ObjectArray, Predictor

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


def foreign_manifest(
    folder: Path,
    flavour: str,
    columns: Sequence[Column],
    classes: tuple[str, ...] = (),
    *,
    text: bool = False,
    output: Output | None = None,
    **fields: Any,
) -> ModelManifest:
    """A manifest of all files below the folder, as a model from elsewhere would be registered."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    output = output or _output(classes)
    signature = Signature(input="text" if text else "columns", columns=tuple(columns), output=output)
    return ModelManifest(
        model="theirs",
        flavour=flavour,
        files=tuple(entry_of(folder, path.relative_to(folder).as_posix()) for path in paths),
        **signed(signature),
        training=TrainingLineage(recipe="none"),
        environment=environment(flavour),
        **fields,
    )


COLUMNS = (Column(name="x"), Column(name="colour", type=ColumnType.CATEGORY), Column(name="y"))
"""Numbers around a category: the order in the signature is not that of the prediction log."""


class Table:
    """Rows of COLUMNS as arrays and as a pandas frame, with holes; labels 0 to classes - 1, or values."""

    def __init__(self, rows: int = 300, seed: int = 3, classes: int = 2) -> None:
        import pandas as pd

        rng = np.random.default_rng(seed)
        self.numeric: FloatArray = rng.normal(size=(rows, 2))
        self.categorical: ObjectArray = rng.choice(np.array(["red", "blue", "green"], dtype=object), size=(rows, 1))
        signal = self.numeric[:, 0] + 2 * (self.categorical[:, 0] == "red") + rng.normal(size=rows) * 0.2
        self.labels = np.searchsorted(np.quantile(signal, np.arange(1, classes) / classes), signal)
        self.values = signal * 10
        self.numeric[rng.random((rows, 2)) < 0.1] = np.nan
        self.categorical[rng.random((rows, 1)) < 0.1] = None
        self.frame = pd.DataFrame(
            {
                "x": self.numeric[:, 0],
                "colour": pd.Series(self.categorical[:, 0]).astype(pd.CategoricalDtype(["blue", "green", "red"])),
                "y": self.numeric[:, 1],
            }
        )
        self.numbers = np.nan_to_num(np.column_stack([self.numeric, self.numeric[:, 0] ** 2]))
        """Three numeric columns without holes, for models that take neither holes nor categories."""


NAMES = {2: ("no", "yes"), 3: ("low", "middle", "high")}
"""Classes by their number; not in the order of the alphabet."""


def assert_rows_alone(predictor: Predictor, numeric: FloatArray, categorical: ObjectArray, atol: float = 0.0) -> None:
    """A row has the same answer alone as in a batch, and no row has none."""
    whole = predictor.predict(numeric, categorical)
    for row in range(min(5, len(numeric))):
        alone = predictor.predict(numeric[row : row + 1], categorical[row : row + 1])
        np.testing.assert_allclose(alone, whole[row : row + 1], rtol=0, atol=atol)
    assert predictor.predict(numeric[:0], categorical[:0]).shape == (0, whole.shape[1])


CORPUS = ["the quick brown fox jumps over the lazy dog", "不错的电影 is a good film", "naïve café, the übermodel"] * 20
CONTEXT_TOKENS = 64


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights with a byte-level tokenizer, as `save_pretrained` writes it."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=["</s>"], initial_alphabet=alphabet)
    )
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        eos_token_id=0,
        bos_token_id=None,
    )
    found = tmp_path_factory.mktemp("language-model")
    transformers.LlamaForCausalLM(config).save_pretrained(found)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(found)
    return found
