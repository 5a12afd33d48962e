"""The scan as servers call it: in a process of its own."""

import os
import pickle
from pathlib import Path

import pytest

from modelyard_admission import Limits, notes, scan, scan_isolated
from modelyard_contracts.admission import ScanVerdict


class _Shell:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def test_the_isolated_scan_reports_what_the_scan_reports(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(_Shell()))
    (tmp_path / "numbers.pkl").write_bytes(pickle.dumps([1.0, 2.0]))

    isolated, direct = scan_isolated(tmp_path), scan(tmp_path)

    assert isolated.model_copy(update={"seconds": 0.0}) == direct.model_copy(update={"seconds": 0.0})
    assert {file.path: file.verdict for file in isolated.files} == {
        "model.pkl": ScanVerdict.MALICIOUS,
        "numbers.pkl": ScanVerdict.ALLOW_LISTED,
    }


@pytest.mark.parametrize("limits", [Limits(seconds=0.0), Limits(memory_bytes=1024 * 1024)], ids=["time", "memory"])
def test_a_scan_that_runs_out_of_time_or_memory_is_incomplete(tmp_path: Path, limits: Limits) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps([str(number) for number in range(300_000)]))

    report = scan_isolated(tmp_path, limits)

    assert report.verdict is ScanVerdict.INCOMPLETE
    assert report.findings


def test_an_empty_folder_is_incomplete(tmp_path: Path) -> None:
    assert scan_isolated(tmp_path).verdict is ScanVerdict.INCOMPLETE


def test_verdicts_of_the_scan_process_are_those_of_the_contracts() -> None:
    assert [verdict.name.lower() for verdict in notes.Verdict] == [verdict.value for verdict in ScanVerdict]
