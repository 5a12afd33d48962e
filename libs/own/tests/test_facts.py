"""What model files tell about task, classes and features."""

import json
from pathlib import Path

import numpy as np
import pytest

from modelyard_contracts.signature import Task
from modelyard_own import UnfitModel
from modelyard_own.facts import Facts, facts_of
from modelyard_own.files import model_files


def facts_at(flavour: str, path: Path) -> Facts:
    return facts_of(flavour, model_files(path))


def rows(classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    table = random.normal(size=(60, 3))
    return table, np.arange(60) % classes


@pytest.mark.parametrize(("classes", "task"), [(2, Task.BINARY), (3, Task.MULTICLASS)])
def test_xgboost_tells_the_task_and_the_number_of_classes(tmp_path: Path, classes: int, task: Task) -> None:
    xgboost = pytest.importorskip("xgboost")
    table, labels = rows(classes)
    xgboost.XGBClassifier(n_estimators=2).fit(table, labels).save_model(tmp_path / "m.json")
    found = facts_at("xgboost", tmp_path / "m.json")
    assert (found.task, found.class_count, found.feature_count, found.classes) == (task, classes, 3, ())


def test_lightgbm_tells_the_names_of_its_features(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    table, labels = rows(3)
    data = lightgbm.Dataset(table, labels, feature_name=["a", "b", "c"])
    booster = lightgbm.train({"objective": "multiclass", "num_class": 3, "verbose": -1, "min_data": 1}, data, 2)
    booster.save_model(tmp_path / "m.txt")
    found = facts_at("lightgbm", tmp_path / "m.txt")
    assert (found.task, found.class_count, found.features) == (Task.MULTICLASS, 3, ("a", "b", "c"))


@pytest.mark.parametrize("zipmap", [True, False])
def test_onnx_tells_the_classes_of_a_classifier(tmp_path: Path, zipmap: bool) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression

    table, labels = rows(3)
    names = np.array(["ant", "bee", "cat"])
    model = LogisticRegression().fit(table, names[labels])
    graph = skl2onnx.to_onnx(model, table[:1].astype(np.float32), options={"zipmap": zipmap})
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    found = facts_at("onnx", tmp_path / "m.onnx")
    assert (found.task, found.classes, found.feature_count) == (Task.MULTICLASS, ("ant", "bee", "cat"), 3)


def test_onnx_of_a_regression_tells_no_classes(tmp_path: Path) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LinearRegression

    table, _ = rows(2)
    graph = skl2onnx.to_onnx(LinearRegression().fit(table, table[:, 0]), table[:1].astype(np.float32))
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    found = facts_at("onnx", tmp_path / "m.onnx")
    assert (found.task, found.class_count, found.feature_count) == (None, None, 3)


def test_transformers_tell_the_names_of_their_labels(tmp_path: Path) -> None:
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"1": "good", "0": "bad"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = facts_at("transformers", tmp_path)
    assert (found.task, found.classes, found.takes_text) == (Task.BINARY, ("bad", "good"), True)


def test_an_encoder_tells_the_size_of_its_vectors(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertModel"], "hidden_size": 384}))
    found = facts_at("transformers", tmp_path)
    assert (found.task, found.dimension) == (Task.EMBEDDING, 384)

    modules = [{"path": "", "type": "st.Transformer"}, {"path": "1_Pooling", "type": "st.Pooling"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling/config.json").write_text(
        json.dumps({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True})
    )
    assert facts_at("transformers", tmp_path).dimension == 768

    (tmp_path / "modules.json").write_text(json.dumps([*modules, {"path": "2_CNN", "type": "st.CNN"}]))
    with pytest.raises(UnfitModel, match="the step CNN is not supported"):
        facts_at("transformers", tmp_path)


@pytest.mark.parametrize("flavour", ["xgboost", "lightgbm", "skops", "transformers", "onnx", "python"])
@pytest.mark.parametrize("data", [b"", b"{", b"\x08", b"PK\x03\x04", b'{"learner": 1}'])
def test_a_damaged_file_tells_nothing(tmp_path: Path, flavour: str, data: bytes) -> None:
    (tmp_path / "config.json").write_bytes(data)
    found = facts_at(flavour, tmp_path)
    assert (found.task, found.classes, found.features, found.feature_count) == (None, (), (), None)
