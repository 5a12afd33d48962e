"""The process that reads uploaded models: its answers, and plans that pass through JSON unchanged."""

import contextlib
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from modelyard_contracts.signature import Task as ModelTask
from modelyard_own import Description, Plan, UnfitModel
from modelyard_own.files import ModelFile
from modelyard_own.work import FILES, OUT, SAMPLE, Answer, Task, answer

from .conftest import plan


@pytest.fixture
def folder(tmp_path: Path, pipeline: Path, sample: Path) -> Path:
    """An upload with a model and a sample."""
    for name, file in ((FILES, pipeline), (SAMPLE, sample)):
        (tmp_path / "upload" / name).mkdir(parents=True)
        (tmp_path / "upload" / name / file.name).write_bytes(file.read_bytes())
    (tmp_path / "upload" / OUT).mkdir()
    return tmp_path / "upload"


def read(folder: Path, name: str, **changes: Any) -> Answer:
    """The answer as it arrives: through JSON."""
    amounts = {"memory_bytes": 1 << 30, "seconds": 60, "max_bytes": 1 << 20}
    given = {"folder": str(folder), "name": name, "sample": "sample.csv", **amounts, **changes}
    with contextlib.chdir(folder):
        found = answer(Task.model_validate_json(Task(**given).model_dump_json(exclude_unset=True)))
    return Answer.model_validate_json(found.model_dump_json())


def test_a_plan_passes_through_json_unchanged_with_its_labelled_rows_as_a_file(folder: Path, pipeline: Path) -> None:
    found = read(folder, pipeline.name)
    ready, direct = found.ready(folder), plan(folder / FILES / pipeline.name, folder / SAMPLE / "sample.csv")
    assert ready is not None and found.header == ("age", "income", "label")
    same = set(Plan.model_fields) - {"labelled", "stated"}
    assert {name: getattr(ready, name) for name in same} == {name: getattr(direct, name) for name in same}
    assert found.labelled is not None and found.labelled.rows == 40
    assert pq.read_table(folder / found.labelled.path).column_names == ["age", "income", "label"]


def test_facts_that_are_not_stated_do_not_hide_those_of_the_folder(folder: Path, rules: Path) -> None:
    (folder / FILES / "rules").mkdir()
    for file in rules.iterdir():
        (folder / FILES / "rules" / file.name).write_bytes(file.read_bytes())
    (folder / FILES / "rules" / "modelyard.yaml").write_text("license: MIT\nclasses: [low, high]\n")
    found = read(folder, "rules", sample=None, code=True, reason="ours", stated=Description(task=ModelTask.BINARY))
    assert found.plan is not None, found.problem
    assert (found.plan.stated.license, found.plan.signature.classes) == ("MIT", ("low", "high"))


def test_problems_name_files_as_they_were_sent(folder: Path, pipeline: Path) -> None:
    assert read(folder, pipeline.name, stated=Description(target="gone")).problem.startswith("sample.csv: --target")
    assert read(folder, "none.json").problem.startswith("none.json: no such file")
    assert "--separator" in read(folder, pipeline.name, separator="ab").problem


def test_a_path_that_leads_out_of_the_upload_is_refused(folder: Path, pipeline: Path) -> None:
    found = read(folder, pipeline.name)
    assert found.plan is not None
    for path in (Path("/etc/hostname"), Path("../../secret")):
        bent = found.plan.model_copy(update={"files": (ModelFile("m", path),)})
        with pytest.raises(UnfitModel, match="outside of the uploaded files"):
            found.model_copy(update={"plan": bent}).ready(folder)


def test_a_tar_archive_is_unpacked_once_and_makes_the_same_model_every_time(folder: Path, pipeline: Path) -> None:
    archive = folder / FILES / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(pipeline, pipeline.name)
    os.utime(archive, (1_700_000_000, 1_700_000_000))
    made = []
    for _ in range(2):
        found = read(folder, archive.name).ready(folder)
        assert found is not None and [file.path for file in found.files] == [pipeline.name]
        assert found.files[0].source.is_relative_to((folder / OUT).resolve())
        made.append(found.made_at.timestamp())
        shutil.rmtree(folder / OUT / "model")
    assert made == [1_700_000_000] * 2
    assert "unpacks to more than" in read(folder, archive.name, max_bytes=10).problem
