"""A server loads exactly the bytes the manifest names, or nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard_contracts.manifest import digest_of
from modelyard_serving.errors import Unloadable
from modelyard_serving.loading import load

from .conftest import THREE, FakePredictor, write_model


def refuse(manifest: Any, folder: Path) -> Any:
    raise AssertionError("nothing may be loaded before it is verified")


def test_a_changed_file_is_not_loaded(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"weightZ")
    with pytest.raises(Unloadable, match="digest"):
        load(tmp_path, "1", refuse)


def test_a_missing_or_shorter_file_is_not_loaded(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"w")
    with pytest.raises(Unloadable, match=r"weights.bin: 1 bytes, the manifest says 7"):
        load(tmp_path, "1", refuse)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(Unloadable, match=r"weights.bin: cannot read"):
        load(tmp_path, "1", refuse)


def test_a_bad_or_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unloadable, match=r"manifest.json"):
        load(tmp_path, "1", refuse)
    (tmp_path / "manifest.json").write_text('{"model": "elec"}')
    with pytest.raises(Unloadable, match="manifest"):
        load(tmp_path, "1", refuse)


def test_a_manifest_of_a_newer_release_loads_or_names_the_release(tmp_path: Path) -> None:
    document = json.loads(write_model(tmp_path).data)
    newer = {**document, "added_later": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(newer))
    model = load(tmp_path, "1", lambda manifest, folder: FakePredictor())
    assert model.digest == digest_of(json.dumps(newer).encode())
    (tmp_path / "manifest.json").write_text(json.dumps({**document, "schema_version": 9, "min_release": "0.9"}))
    with pytest.raises(Unloadable, match=r"needs Modelyard 0\.9 or newer"):
        load(tmp_path, "1", refuse)


def test_the_expected_digest_is_compared_with_the_bytes(tmp_path: Path) -> None:
    file = write_model(tmp_path)
    assert load(tmp_path, "1", lambda manifest, folder: FakePredictor(), digest=file.digest).digest == file.digest
    (tmp_path / "manifest.json").write_bytes(file.data + b" ")
    with pytest.raises(Unloadable, match="digest"):
        load(tmp_path, "1", refuse, digest=file.digest)


def test_a_model_whose_warm_up_fails_never_becomes_ready(tmp_path: Path) -> None:
    write_model(tmp_path)

    class Broken(FakePredictor):
        def predict(self, numeric: Any, categorical: Any) -> Any:
            raise ValueError("no weights")

    with pytest.raises(Unloadable, match="no weights"):
        load(tmp_path, "1", lambda manifest, folder: Broken())
    with pytest.raises(Unloadable, match="shape"):
        load(tmp_path, "1", lambda manifest, folder: FakePredictor(THREE))
