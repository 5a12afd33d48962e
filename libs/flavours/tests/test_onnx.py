"""ONNX graphs as their exporters write them: the answers are those of the model that was exported."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelyard_contracts.signature import Column, ColumnType
from modelyard_flavours import FlavourError, Inadmissible, load_model

from .conftest import COLUMNS, NAMES, Table, assert_rows_alone, foreign_manifest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

NUMBERS = (Column(name="a"), Column(name="b"), Column(name="c"))
NO_TEXTS = np.zeros((300, 0), dtype=object)


def export(model: Any, folder: Path, inputs: Sequence[tuple[str, Any]], **options: Any) -> None:
    graph = skl2onnx.convert_sklearn(model, initial_types=list(inputs), options=options or None, target_opset=18)
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())


def matrix_input(columns: int = 3) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import FloatTensorType

    return [("input", FloatTensorType([None, columns]))]


def graph(folder: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: Sequence[Any] = ()) -> None:
    """Write a graph made by hand."""
    made = onnx.helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")


def info(name: str, *shape: Any, kind: str = "FLOAT") -> Any:
    return onnx.helper.make_tensor_value_info(name, getattr(onnx.TensorProto, kind), shape)


@pytest.mark.parametrize("zipmap", [True, False], ids=["zipmap", "tensor"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_classifier_of_one_matrix_scores_as_scikit_learn(tmp_path: Path, classes: int, zipmap: bool) -> None:
    table = Table(classes=classes)
    model = LogisticRegression().fit(table.numbers, np.array(NAMES[classes])[table.labels])
    export(model, tmp_path, matrix_input(), zipmap=zipmap)
    names = NAMES[classes] if zipmap else tuple(model.classes_)  # a zipmap names its columns
    predictor = load_model(foreign_manifest(tmp_path, "onnx", NUMBERS, names), tmp_path)

    expected = model.predict_proba(table.numbers.astype(np.float32))
    expected = expected[:, [list(model.classes_).index(name) for name in names]]
    np.testing.assert_allclose(predictor.predict(table.numbers, NO_TEXTS), expected, atol=1e-5)
    assert_rows_alone(predictor, table.numbers, NO_TEXTS, atol=1e-6)


def test_classes_in_another_order_than_the_scores_are_refused(tmp_path: Path) -> None:
    table = Table(classes=3)
    model = LogisticRegression().fit(table.numbers, np.array(NAMES[3])[table.labels])
    export(model, tmp_path, matrix_input(), zipmap=False)
    with pytest.raises(Inadmissible, match="list the classes of the signature in the order of the graph's scores"):
        load_model(foreign_manifest(tmp_path, "onnx", NUMBERS, NAMES[3]), tmp_path)


def test_a_pipeline_with_an_input_per_column_scores_as_scikit_learn(tmp_path: Path) -> None:
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    table = Table()
    frame = table.frame.assign(colour=table.frame["colour"].astype(object).fillna(""))
    numbers = make_pipeline(SimpleImputer())
    model = make_pipeline(
        ColumnTransformer([("n", numbers, ["x", "y"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["colour"])]),
        LogisticRegression(),
    ).fit(frame, table.labels)
    one = [None, 1]
    inputs = [("x", FloatTensorType(one)), ("colour", StringTensorType(one)), ("y", FloatTensorType(one))]
    export(model, tmp_path, inputs)
    predictor = load_model(foreign_manifest(tmp_path, "onnx", COLUMNS, NAMES[2]), tmp_path)

    scores = predictor.predict(table.numeric, table.categorical)

    np.testing.assert_allclose(scores, model.predict_proba(frame), atol=1e-5)
    assert_rows_alone(predictor, table.numeric, table.categorical, atol=1e-6)


def test_a_regression_answers_values(tmp_path: Path) -> None:
    table = Table()
    model = Ridge().fit(table.numbers, table.values)
    export(model, tmp_path, matrix_input())
    values = load_model(foreign_manifest(tmp_path, "onnx", NUMBERS), tmp_path).predict(table.numbers, NO_TEXTS)
    np.testing.assert_allclose(values[:, 0], model.predict(table.numbers), atol=1e-4)


def test_the_columns_fill_an_image_in_their_order_and_logits_become_scores(tmp_path: Path) -> None:
    """The graph sums the rows of a 2 x 3 image: two log-odds."""
    axes = onnx.numpy_helper.from_array(np.array([1, 3]), "axes")
    node = onnx.helper.make_node("ReduceSum", ["image", "axes"], ["logits"], keepdims=0)
    graph(tmp_path, [node], [info("image", "n", 1, 2, 3)], [info("logits", "n", 2)], [axes])
    columns = [Column(name=f"pixel{place}") for place in range(6)]
    rows = np.arange(12.0).reshape(2, 6) / 10
    manifest = foreign_manifest(tmp_path, "onnx", columns, NAMES[2], options={"scores": "logits"})

    scores = load_model(manifest, tmp_path).predict(rows, NO_TEXTS[:2])

    powers = np.exp(rows.reshape(2, 2, 3).sum(axis=2))
    np.testing.assert_allclose(scores, powers / powers.sum(axis=1, keepdims=True), rtol=1e-6)
    with pytest.raises(ValueError, match="set the option scores=logits"):
        plain = foreign_manifest(tmp_path, "onnx", columns, NAMES[2])
        load_model(plain, tmp_path).predict(rows, NO_TEXTS[:2])


def test_a_shape_that_the_graph_leaves_open_comes_from_an_option(tmp_path: Path) -> None:
    axes = onnx.numpy_helper.from_array(np.array([1, 2]), "axes")
    node = onnx.helper.make_node("ReduceSum", ["image", "axes"], ["sum"], keepdims=0)
    graph(tmp_path, [node], [info("image", "n", "h", "w")], [info("sum", "n")], [axes])
    columns = [Column(name=f"pixel{place}") for place in range(6)]
    manifest = foreign_manifest(tmp_path, "onnx", columns, options={"shape": "2x3"})
    np.testing.assert_allclose(load_model(manifest, tmp_path).predict(np.ones((2, 6)), NO_TEXTS[:2]), [[6], [6]])
    with pytest.raises(Inadmissible, match="2x4 has 8 numbers; there are 6 columns"):
        load_model(foreign_manifest(tmp_path, "onnx", columns, options={"shape": "2x4"}), tmp_path)


def test_a_graph_for_one_row_at_a_time_answers_batches(tmp_path: Path) -> None:
    node = onnx.helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0)
    graph(tmp_path, [node], [info("input", 1, 3)], [info("mean", 1)])
    values = load_model(foreign_manifest(tmp_path, "onnx", NUMBERS), tmp_path).predict(np.eye(3) * 3, NO_TEXTS[:3])
    np.testing.assert_allclose(values, [[1], [1], [1]])


def test_a_missing_value_reaches_a_float_input_and_is_refused_for_whole_numbers(tmp_path: Path) -> None:
    for kind in ("FLOAT", "INT64"):
        node = onnx.helper.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.FLOAT)
        graph(tmp_path, [node], [info("x", "n", 1, kind=kind)], [info("y", "n", 1)])
        predictor = load_model(foreign_manifest(tmp_path, "onnx", [Column(name="x")]), tmp_path)
        holes = np.array([[7.0], [np.nan]])
        if kind == "FLOAT":
            np.testing.assert_array_equal(predictor.predict(holes, NO_TEXTS[:2]), holes)
        else:
            np.testing.assert_array_equal(predictor.predict(holes[:1], NO_TEXTS[:1]), [[7]])
            with pytest.raises(ValueError, match="x: a value is missing, and the graph takes int64"):
                predictor.predict(holes, NO_TEXTS[:2])


def test_labels_alone_become_ones_and_zeros(tmp_path: Path) -> None:
    node = onnx.helper.make_node("ArgMax", ["input"], ["label"], axis=1, keepdims=0)
    graph(tmp_path, [node], [info("input", "n", 3)], [info("label", "n", kind="INT64")])
    predictor = load_model(foreign_manifest(tmp_path, "onnx", NUMBERS, NAMES[3]), tmp_path)
    np.testing.assert_array_equal(predictor.predict(np.eye(3)[[2, 0]], NO_TEXTS[:2]), [[0, 0, 1], [1, 0, 0]])


def test_weights_outside_of_the_folder_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(np.arange(3, dtype=np.float32).tobytes())
    weights = onnx.numpy_helper.from_array(np.arange(3, dtype=np.float32), "w")
    onnx.external_data_helper.set_external_data(weights, "../secret.bin", offset=0, length=12)
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.ClearField("raw_data")
    node = onnx.helper.make_node("Add", ["input", "w"], ["sum"])
    made = onnx.helper.make_graph([node], "g", [info("input", "n", 3)], [info("sum", "n", 3)], [weights])
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FlavourError, match=r"(?i)external data"):
        load_model(foreign_manifest(folder, "onnx", NUMBERS), folder)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"output": "odd"}, r"the graph has no output 'odd'; it has output_label, output_probability"),
        ({"input": "odd"}, "the graph has no input 'odd'"),
        ({"scores": "odds"}, r"options\.scores: is 'odds'; use probabilities, logits, labels"),
        ({"spelling": "x"}, r"options\.spelling: is not an option of this flavour; it has: input, model, output"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(tmp_path: Path, options: dict[str, str], reason: str) -> None:
    table = Table()
    export(LogisticRegression().fit(table.numbers, table.labels), tmp_path, matrix_input())
    with pytest.raises(Inadmissible, match=reason):
        load_model(foreign_manifest(tmp_path, "onnx", NUMBERS, NAMES[2], options=options), tmp_path)


def test_a_category_for_a_matrix_of_numbers_is_refused(tmp_path: Path) -> None:
    table = Table()
    export(LogisticRegression().fit(table.numbers, table.labels), tmp_path, matrix_input())
    columns = (*NUMBERS[:2], Column(name="colour", type=ColumnType.CATEGORY))
    with pytest.raises(Inadmissible, match="takes numbers only, but 'colour' is a text"):
        load_model(foreign_manifest(tmp_path, "onnx", columns, NAMES[2]), tmp_path)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(FlavourError, match="onnx"):
        load_model(foreign_manifest(tmp_path, "onnx", NUMBERS), tmp_path)
