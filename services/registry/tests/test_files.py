"""Files of a version: only names that every file system can hold, checked in linear time."""

import time

import pytest
from pydantic import ValidationError

from modelyard_contracts.manifest import FileEntry, digest_of
from modelyard_registry.domain.files import MAX_FILES, check_files
from modelyard_runtime.errors import Invalid

DIGEST = digest_of(b"")


def files(*paths: str) -> list[FileEntry]:
    return [FileEntry(path=path, digest=DIGEST, size_bytes=0) for path in paths]


def test_ordinary_files_are_accepted() -> None:
    check_files(files("model.skops", "a/b/c.json", "a/b.json", "a-b", "a.b/c", "console.txt", "prn_1", "x" * 255))


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["a", "a"], "a is listed more than once"),
        (["Model.bin", "model.bin"], "Model.bin and model.bin differ only in case"),
        (["a", "a/b"], "a is a file and a folder"),
        (["a/b/c", "A/B"], "A/B is a file and a folder"),
        (["manifest.json"], "is the manifest itself"),
        (["manifest.json/x"], "is the manifest itself"),
        (["Manifest.JSON"], "is the manifest itself"),
        (["x" * 256], "at most 255 characters for a name"),
        (["/".join(["x" * 200] * 6)], "1024 for a path"),
        (["/".join("x" * 33)], "nested in more than 31 folders"),
        (["con"], "no file name on Windows"),
        (["data/NUL.txt"], "no file name on Windows"),
        (["data/com1.tar.gz"], "no file name on Windows"),
        (["a./b"], "no file name on Windows"),
        ([f"f{number}" for number in range(MAX_FILES + 1)], "at most 20000"),
    ],
)
def test_names_that_some_file_system_cannot_hold_are_refused(paths: list[str], said: str) -> None:
    with pytest.raises(Invalid, match=said) as refused:
        check_files(files(*paths))
    assert refused.value.field == "manifest.files"
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "path",
    [
        "caf\u00e9",
        "cafe\u0301",
        "stra\u00dfe",
        "\u212a",
        "com\u00b9",
        "conin$",
        "a:b",
        "a\\b",
        "a ",
        " a",
        "a/ b",
        "\x01",
        "a\x7f",
        "a\nb",
        "a\n",
        "a\u202eb",
        "a\u200b",
        "\u00fc" * 5_000,
        "",
        "/a",
        "a/",
        "a//b",
        "./a",
        "..",
        "a/../b",
        "a/..",
    ],
    ids=ascii,
)
def test_a_name_that_file_systems_spell_differently_is_refused_with_the_remedy(path: str) -> None:
    with pytest.raises(ValidationError) as refused:
        FileEntry(path=path, digest=DIGEST, size_bytes=0)
    [problem] = refused.value.errors()
    assert any(words in problem["msg"] for words in ("rename the file", "leave its folder", "without empty parts"))
    assert len(problem["msg"]) < 700


def test_many_files_are_checked_in_linear_time() -> None:
    def cpu_s(count: int) -> float:
        entries = files(*(f"part-{number}/of/a/large/model-{number}.bin" for number in range(count)))
        start = time.process_time()
        check_files(entries)
        return time.process_time() - start

    cpu_s(1_000)
    small, large = min(cpu_s(2_000) for _ in range(3)), min(cpu_s(20_000) for _ in range(3))
    assert large < 30 * small, f"ten times the files took {large / small:.0f} times the CPU"
