"""A model whose classes were booleans takes a sample as pandas writes it."""

import json
import zipfile
from pathlib import Path

import pytest

from modelyard_own import Description, Request, UnfitModel, plan_of

from .conftest import write

LOGISTIC = "sklearn.linear_model._logistic"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A skops file whose classifier has the classes False and True."""
    items = [{"__loader__": "JsonNode", "content": text} for text in ("false", "true")]
    classes = {"type": "json", "content": items}
    state = {"classes_": classes, "n_features_in_": {"content": "1"}}
    root = {"__class__": "LogisticRegression", "__module__": LOGISTIC, "content": {"content": state}}
    path = tmp_path / "model.skops"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps({**root, "_skops_version": "0.14", "protocol": 2}))
    return path


@pytest.mark.parametrize(("yes", "no"), [("True", "False"), ("TRUE", "FALSE"), ("true", "false")])
def test_the_spelling_of_pandas_is_accepted_for_target_and_answers(
    model: Path, tmp_path: Path, yes: str, no: str
) -> None:
    rows = [f"{n},{yes if n % 2 else no},{yes if n % 3 else no}" for n in range(40)]
    sample = write(tmp_path / "rows.csv", "age,target,answer", *rows)
    plan = plan_of(Request(model, Description(sample=str(sample))))
    assert plan.signature.output.classes == ("false", "true")
    assert [answer.label for answer in plan.example.answers[:3]] == ["false", "true", "true"]
    assert plan.sample.labels == 40


def test_a_feature_of_booleans_and_other_classes_keep_their_spelling(model: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.csv", "age,target", *(f"{n},{'Yes' if n % 2 else 'No'}" for n in range(40)))
    with pytest.raises(UnfitModel, match="'No' is no class of the model"):
        plan_of(Request(model, Description(sample=str(rows))))
