"""Names of files in a version."""

from pathlib import Path

import pytest

from modelyard_own import UnfitModel
from modelyard_own.files import model_files


def test_a_single_file_gets_a_name_that_every_system_holds(tmp_path: Path) -> None:
    path = tmp_path / "mein Modell (final).onnx"
    path.write_bytes(b"x")
    [file] = model_files(path)
    assert (file.path, file.source) == ("mein_Modell_final_.onnx", path)


def test_files_of_a_folder_have_forward_slashes_and_hidden_ones_are_left_out(tmp_path: Path) -> None:
    for name in (
        "config.json",
        "weights/a.safetensors",
        ".git/config",
        "__pycache__/x.pyc",
        "modelyard.yaml",
        "rows.csv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = model_files(tmp_path, but=tmp_path / "rows.csv")
    assert [file.path for file in found] == ["config.json", "weights/a.safetensors"]


def test_a_name_with_other_letters_in_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "größe.json").write_bytes(b"{}")
    with pytest.raises(UnfitModel, match="rename it"):
        model_files(tmp_path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights").symlink_to("/etc/hostname")
    with pytest.raises(UnfitModel, match="is a link"):
        model_files(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfitModel, match="has no file"):
        model_files(tmp_path)
