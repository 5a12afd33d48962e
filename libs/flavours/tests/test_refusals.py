"""Artifacts that are not allowed are refused, and the message names the file and the type."""

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from modelyard_flavours import FittedSklearn, Inadmissible, UnknownFlavour, check_admissible, load_model, save_model

from .conftest import Rows, manifest_of

pytestmark = pytest.mark.process

LOADING = """
import sys
from pathlib import Path
from modelyard_contracts.manifest import ModelManifest
from modelyard_flavours import load_model
folder = Path(sys.argv[1])
load_model(ModelManifest.model_validate_json((folder.parent / "manifest.json").read_text()), folder)
"""


def loads_in_a_process(folder: Path, manifest: Any) -> str:
    """The last line that a fresh Python prints when it loads the folder; empty when it succeeds."""
    (folder.parent / "manifest.json").write_text(manifest.model_dump_json())
    done = subprocess.run([sys.executable, "-c", LOADING, str(folder)], capture_output=True, text=True, timeout=120)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None], extra: dict[str, bytes] | None = None) -> None:
    """Bend the schema inside of model.skops; the manifest is made afterwards, so digests fit."""
    source = zipfile.ZipFile(io.BytesIO((folder / "model.skops").read_bytes()))
    with zipfile.ZipFile(folder / "model.skops", "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "schema.json":
                schema = json.loads(data)
                change(schema)
                data = json.dumps(schema).encode()
            target.writestr(name, data)
        for name, data in (extra or {}).items():
            target.writestr(name, data)


def test_a_whole_model_loads_in_a_fresh_process(saved: Path) -> None:
    assert loads_in_a_process(saved, manifest_of(saved)) == ""


def test_a_description_that_would_fill_the_memory_is_not_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_admissible(manifest_of(saved), saved)
    monkeypatch.setattr("modelyard_flavours.skops_check.MAX_SCHEMA_BYTES", 1_000)
    with pytest.raises(Inadmissible, match=r"schema\.json of more than 1000 bytes"):
        check_admissible(manifest_of(saved), saved)


def test_a_tampered_file_is_refused(saved: Path) -> None:
    manifest = manifest_of(saved)
    data = bytearray((saved / "model.skops").read_bytes())
    data[len(data) // 2] ^= 1
    (saved / "model.skops").write_bytes(data)
    assert "Inadmissible: model.skops: has the digest sha256:" in loads_in_a_process(saved, manifest)


def test_an_unlisted_type_is_refused_by_name_although_skops_trusts_it(saved: Path) -> None:
    skops.io.dump(make_pipeline(FunctionTransformer()), saved / "model.skops")
    assert skops.io.get_untrusted_types(file=saved / "model.skops") == []
    error = loads_in_a_process(saved, manifest_of(saved))
    assert (
        "Inadmissible: model.skops: holds the type sklearn.preprocessing._function_transformer.FunctionTransformer"
        in error
    )


@pytest.mark.parametrize(
    ("loader", "module", "name"),
    [
        ("FunctionNode", "os", "system"),
        ("MethodNode", "subprocess", "Popen"),
        ("OperatorFuncNode", "operator", "methodcaller"),
        ("PartialNode", "functools", "partial"),
        ("ConstructorFromReduceNode", "builtins", "eval"),
        ("TypeNode", "builtins", "exec"),
        ("ObjectNode", "sklearn.pipeline", "FeatureUnion"),
        ("DictNode", "sklearn.pipeline", "Pipeline"),
    ],
)
def test_each_way_to_build_something_else_is_refused(saved: Path, loader: str, module: str, name: str) -> None:
    node = {"__class__": name, "__module__": module, "__loader__": loader, "content": {}}
    rewrite(saved, lambda schema: schema["content"]["content"].update(hidden=node))
    with pytest.raises(Inadmissible, match=rf"{module}\.{name} \(loaded as {loader}\)"):
        load_model(manifest_of(saved), saved)


def test_a_pickle_under_the_right_name_is_refused(saved: Path) -> None:
    (saved / "model.skops").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(Inadmissible, match=r"model\.skops: is not a readable skops file"):
        check_admissible(manifest_of(saved), saved)


def test_an_archive_with_something_besides_arrays_is_refused(saved: Path) -> None:
    rewrite(saved, lambda schema: None, {"payload.pkl": b"x"})
    with pytest.raises(Inadmissible, match=r"payload\.pkl"):
        check_admissible(manifest_of(saved), saved)


def test_a_schema_nested_without_end_is_refused(saved: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"x": deep}
    rewrite(saved, lambda schema: schema.update(deep=deep))
    with pytest.raises(Inadmissible, match="nested deeper"):
        check_admissible(manifest_of(saved), saved)


def test_an_array_of_objects_is_not_unpickled(saved: Path) -> None:
    data = io.BytesIO()
    np.save(data, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    source = zipfile.ZipFile(io.BytesIO((saved / "model.skops").read_bytes()))
    with zipfile.ZipFile(saved / "model.skops", "w") as target:
        for name in source.namelist():
            target.writestr(name, data.getvalue() if name.endswith(".npy") else source.read(name))
    assert "allow_pickle" in loads_in_a_process(saved, manifest_of(saved))


@pytest.mark.parametrize("files", [("encoding.json",), ("encoding.json", "model.skops", "run.py")], ids=len)
def test_a_file_too_few_or_too_many_is_refused(saved: Path, files: tuple[str, ...]) -> None:
    if "model.skops" not in files:
        (saved / "model.skops").unlink()
    if "run.py" in files:
        (saved / "run.py").write_text("print()")
    with pytest.raises(Inadmissible, match=r"model\.skops: is missing|run\.py: is not a file"):
        check_admissible(manifest_of(saved), saved)


def test_a_link_to_another_file_is_refused(saved: Path) -> None:
    manifest = manifest_of(saved)
    (saved / "model.skops").rename(saved.parent / "elsewhere")
    (saved / "model.skops").symlink_to(saved.parent / "elsewhere")
    with pytest.raises(Inadmissible, match="not a plain file"):
        check_admissible(manifest, saved)


def test_an_unknown_flavour_is_refused_with_the_known_ones(saved: Path) -> None:
    manifest = manifest_of(saved).model_copy(update={"flavour": "pickle"})
    with pytest.raises(UnknownFlavour, match="'pickle' is unknown; known are sklearn, torch-mlp, text-linear"):
        load_model(manifest, saved)


def test_a_model_that_would_not_load_is_not_saved(tmp_path: Path, rows: Rows) -> None:
    with pytest.raises(Inadmissible, match="FunctionTransformer"):
        save_model("sklearn", FittedSklearn(make_pipeline(FunctionTransformer()), rows.encoding), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "estimator", [ExtraTreesClassifier(3, random_state=0), HistGradientBoostingClassifier(max_iter=3)]
)
def test_a_tree_that_points_outside_of_itself_is_refused(tmp_path: Path, rows: Rows, estimator: Any) -> None:
    fitted = estimator.fit(rows.matrix, rows.labels)
    skops.io.dump(fitted, tmp_path / "model.skops")
    (tmp_path / "encoding.json").write_text(rows.encoding.model_dump_json())
    load_model(manifest_of(tmp_path), tmp_path)

    source = zipfile.ZipFile(io.BytesIO((tmp_path / "model.skops").read_bytes()))
    bent = 0
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as target:
        for name in source.namelist():
            data = source.read(name)
            array: Any = np.load(io.BytesIO(data)) if name.endswith(".npy") else np.zeros(0)
            child = {"left_child", "left"} & set(array.dtype.names or ())
            if child:
                array[child.pop()][0] = 2_000_000
                buffer = io.BytesIO()
                np.save(buffer, array)
                data, bent = buffer.getvalue(), bent + 1
            target.writestr(name, data)
    assert bent
    with pytest.raises(Inadmissible, match="a node's child does not come after it"):
        load_model(manifest_of(tmp_path), tmp_path)
