"""What is understood of a model and its sample, and what is refused with a remedy."""

import json
from pathlib import Path

import pytest
from libs.admission.tests import corpus

from modelyard_contracts.manifest import FileEntry
from modelyard_contracts.signature import ColumnType, Output, Task
from modelyard_contracts.tables.table import UnfitFile
from modelyard_own import UnfitModel
from modelyard_own.files import model_files

from .conftest import plan, write


def test_a_pipeline_tells_its_task_and_classes_and_the_sample_its_columns(pipeline: Path, sample: Path) -> None:
    found = plan(pipeline, sample)
    assert found.flavour == "skops"
    assert found.signature.classes == ("no", "yes")
    assert [(it.name, it.type) for it in found.signature.columns] == [
        ("age", ColumnType.INTEGER),
        ("income", ColumnType.INTEGER),
    ]
    assert found.signature.target == "label"
    assert found.options == {"model": "churn.skops"}


def test_the_reference_and_the_example_come_from_the_sample(pipeline: Path, sample: Path) -> None:
    found = plan(pipeline, sample)
    assert found.reference.rows == 40
    assert [feature.name for feature in found.reference.features] == ["age", "income"]
    assert found.example.rows[3] == {"age": 3, "income": 9}
    assert found.example.answers == (), "the true class is no answer of the model"


def test_recorded_answers_are_in_the_example_and_in_the_reference(rules: Path) -> None:
    found = plan(rules, code=True, reason="our own rules")
    assert [answer.label for answer in found.example.answers] == ["low", "low", "low", "high", "high", "high"]
    assert found.reference.classes is not None
    assert dict(zip(found.reference.classes.categories, found.reference.classes.counts[3:], strict=True)) == {
        "high": 3,
        "low": 3,
    }
    assert found.signature.output.classes == ("high", "low")
    assert [file.path for file in found.files] == ["predict.py"], "the sample is no file of the model"


def test_code_needs_a_permission_with_a_reason(rules: Path) -> None:
    with pytest.raises(UnfitModel, match="--allow-code and --reason"):
        plan(rules)
    with pytest.raises(UnfitModel, match="set --reason"):
        plan(rules, code=True)
    assert plan(rules, code=True, reason="our own").permissions.code


def test_a_sample_without_a_column_of_the_model_is_refused_by_name(pipeline: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.csv", "age,label", "1,no", "2,yes")
    with pytest.raises(UnfitModel, match="the model takes income, which the sample lacks"):
        plan(pipeline, rows)


def test_columns_follow_the_order_of_the_model(pipeline: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.csv", "other,income,age,label", "9,1,2,no", "8,3,4,yes")
    assert [column.name for column in plan(pipeline, rows).signature.columns] == ["age", "income"]


def test_a_class_that_the_model_does_not_know_is_refused(pipeline: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.csv", "age,income,label", "1,2,no", "2,3,maybe")
    with pytest.raises(UnfitModel, match="'maybe' is no class of the model"):
        plan(pipeline, rows)


def test_a_task_against_the_file_is_refused(pipeline: Path, sample: Path) -> None:
    with pytest.raises(UnfitModel, match="the model's file says binary"):
        plan(pipeline, sample, task=Task.REGRESSION)


def test_a_model_without_a_sample_is_refused(pipeline: Path) -> None:
    with pytest.raises(UnfitModel, match="--sample"):
        plan(pipeline)


def test_a_row_without_a_recorded_answer_is_refused_with_its_line(rules: Path) -> None:
    write(rules / "sample.csv", "n,answer", "1,low", "2,", "3,high")
    with pytest.raises(UnfitFile, match="line 3"):
        plan(rules, code=True, reason="our own")


def test_a_pickle_gets_the_way_out(tmp_path: Path, sample: Path) -> None:
    import pickle

    from sklearn.linear_model import LogisticRegression

    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(LogisticRegression().fit([[0.0], [1.0]], [0, 1])))
    with pytest.raises(UnfitModel, match=r"skops\.io\.dump"):
        plan(path, sample)


def test_the_same_model_and_sample_make_the_same_manifest(pipeline: Path, sample: Path) -> None:
    first, second = (plan(pipeline, sample) for _ in range(2))
    entries = tuple(file.entry() for file in first.files)
    assert first.manifest("churn", None, entries) == second.manifest("churn", None, entries)


def test_the_rows_after_the_baseline_are_held_out(pipeline: Path, sample: Path) -> None:
    lineage = plan(pipeline, sample).manifest("churn", f"sha256:{'0' * 64}", _entries(pipeline)).training
    assert lineage.train_from is not None and lineage.train_until is not None
    assert (lineage.train_until - lineage.train_from).total_seconds() == 8, "a fifth of 40 rows"
    assert lineage.run_id is None


def _entries(path: Path) -> tuple[FileEntry, ...]:
    return tuple(file.entry() for file in model_files(path))


def test_an_mlflow_folder_is_unwrapped_with_its_input_example(tmp_path: Path, pipeline: Path) -> None:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    pipeline.rename(folder / "model.skops")
    (folder / "MLmodel").write_text(
        "flavors:\n  python_function:\n    loader_module: os\n  sklearn:\n    pickled_model: model.skops\n"
        "saved_input_example_info:\n  artifact_path: input_example.json\n  pandas_orient: split\n  type: dataframe\n"
    )
    example = {"columns": ["age", "income"], "data": [[1.5, 2], [3, None]]}
    (folder / "input_example.json").write_text(json.dumps(example))
    found = plan(folder)
    assert (found.flavour, found.source.kind) == ("skops", "mlflow")
    assert [file.path for file in found.files] == ["model.skops"]
    assert found.example.rows == ({"age": 1.5, "income": 2}, {"age": 3.0, "income": None})


def test_an_mlflow_folder_that_names_a_file_outside_is_refused(tmp_path: Path, pipeline: Path) -> None:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors:\n  sklearn:\n    pickled_model: ../churn.skops\n")
    with pytest.raises(UnfitModel, match="names no model file"):
        plan(folder)


def encoder(folder: Path) -> Path:
    """A folder of an encoder whose vectors have two numbers; nothing of it is loaded."""
    folder.mkdir()
    config = {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 2}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    header = b"{}      "
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return folder


def test_an_encoder_is_planned_with_its_recorded_vectors(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.csv", "text,label,answer", '"a b",1,"[0.5, -1]"', 'c,2,"[1, 2.5]"')
    found = plan(encoder(tmp_path / "encoder"), rows)
    assert found.signature.output == Output(task=Task.EMBEDDING, name="label", dimension=2)
    assert [answer.scores for answer in found.example.answers] == [(0.5, -1.0), (1.0, 2.5)]
    assert (found.labelled, found.reference.score) == (None, None), "no label shows that a vector is right"

    for wrong in ("[1]", "[1, 2, 3]", "1", "[1, NaN]"):
        write(tmp_path / "rows.csv", "text,answer", f'x,"{wrong}"')
        with pytest.raises(UnfitFile, match="not a JSON list of 2 numbers"):
            plan(tmp_path / "encoder", rows)


def test_a_model_that_is_no_encoder_is_refused_as_one(rules: Path) -> None:
    with pytest.raises(UnfitModel, match="--task embedding: the size of the model's vectors is not known"):
        plan(rules, code=True, reason="ours", task=Task.EMBEDDING)


def test_a_state_dict_needs_its_class_and_the_permission(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    folder = tmp_path / "net"
    folder.mkdir()
    torch.save(torch.nn.Linear(1, 1).state_dict(), folder / "weights.pt")
    (folder / "net.py").write_text("import torch\n")
    rows = write(tmp_path / "rows.csv", "x,target", "1,2.5", "2,3.5")
    with pytest.raises(UnfitModel, match="State the class of the network"):
        plan(folder, rows)
    with pytest.raises(UnfitModel, match="set --class to the network's class"):
        plan(folder, rows, flavour="torch-state", code=True, reason="ours")
    options = {"class": "net:Net"}
    with pytest.raises(UnfitModel, match="the class of the network is Python code"):
        plan(folder, rows, flavour="torch-state", options=options)
    found = plan(folder, rows, flavour="torch-state", options=options, code=True, reason="ours")
    assert found.options == {"model": "weights.pt", "class": "net:Net"}
    assert [file.path for file in found.files] == ["net.py", "weights.pt"]


def test_a_gguf_file_is_a_language_model_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "Smol Q4.gguf").write_bytes(corpus.gguf_model())
    rows = write(tmp_path / "rows.csv", "prompt", "what is it", "why")
    found = plan(tmp_path / "Smol Q4.gguf", rows)
    assert (found.flavour, found.signature.task, found.signature.input) == ("transformers", Task.TEXT, "text")
    assert found.options == {"model": "Smol_Q4.gguf"}
    assert [file.path for file in found.files] == ["Smol_Q4.gguf"]
    assert found.source.format == "gguf"
    (tmp_path / "Smol Q4.gguf").write_bytes(corpus.gguf_model()[:-1])
    with pytest.raises(UnfitModel, match=r"the file is damaged: places 'token_embd\.weight' past the end"):
        plan(tmp_path / "Smol Q4.gguf", rows)
