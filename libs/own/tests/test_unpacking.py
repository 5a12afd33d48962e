"""Zip archives that people upload: the folder inside of them, and what is refused."""

import stat
import zipfile
from pathlib import Path

import pytest

from modelyard_own import UnfitModel
from modelyard_own.unpacking import unpacked

MIB = 1 << 20


def archive(folder: Path, *members: str | zipfile.ZipInfo, content: bytes = b"x") -> Path:
    path = folder / "rules.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for member in members:
            opened.writestr(member, content)
    return path


def test_the_only_folder_of_an_archive_is_the_model(tmp_path: Path) -> None:
    found = unpacked(archive(tmp_path, "a/predict.py", "a/deep/table.csv", "__MACOSX/a/x", "a/.git"), tmp_path, MIB)
    assert found == tmp_path / "rules" / "a"
    assert sorted(path.relative_to(found).as_posix() for path in found.rglob("*")) == [
        "deep",
        "deep/table.csv",
        "predict.py",
    ]


def test_files_without_a_folder_are_the_model(tmp_path: Path) -> None:
    assert unpacked(archive(tmp_path, "predict.py", "sample.csv"), tmp_path, MIB) == tmp_path / "rules"


@pytest.mark.parametrize("name", ["../out.py", "/etc/out.py", "a/../../out.py", "a\\out.py", "a/new\nline.py"])
def test_a_member_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    with pytest.raises(UnfitModel, match="leads elsewhere"):
        unpacked(archive(tmp_path, info), tmp_path / "to", MIB)
    assert not list(tmp_path.rglob("out.py"))


def test_links_and_repeated_names_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UnfitModel, match="no plain file"):
        unpacked(archive(tmp_path, link, content=b"/etc/passwd"), tmp_path / "to", MIB)
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = archive(tmp_path, "a/x", "a/x")
    with pytest.raises(UnfitModel, match="is there twice"):
        unpacked(path, tmp_path / "to", MIB)


def test_a_bomb_is_refused_by_its_size_and_a_wrong_size_by_its_content(tmp_path: Path) -> None:
    path = archive(tmp_path, "a/zeros", content=bytes(5 * MIB))
    with pytest.raises(UnfitModel, match="unpacks to 5 MiB; at most 1 MiB"):
        unpacked(path, tmp_path / "to", MIB)
    data = path.read_bytes()
    size = (5 * MIB).to_bytes(4, "little")
    path.write_bytes(data.replace(size, (MIB // 2).to_bytes(4, "little")))
    with pytest.raises(UnfitModel, match="damaged or unusual"):
        unpacked(path, tmp_path / "to", MIB)
    assert sum(file.stat().st_size for file in (tmp_path / "to").rglob("*") if file.is_file()) <= MIB


@pytest.mark.parametrize("content", [b"PK\x03\x04 but no more", b""])
def test_a_damaged_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rules.zip"
    path.write_bytes(content)
    with pytest.raises(UnfitModel, match="damaged"):
        unpacked(path, tmp_path / "to", MIB)


def test_an_archive_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfitModel, match="has no file"):
        unpacked(archive(tmp_path, "a/"), tmp_path / "to", MIB)
