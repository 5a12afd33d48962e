"""Every hostile file is caught; no way around the scanner that is publicly known works."""

from pathlib import Path

import pytest
from libs.admission.tests.corpus import MALICIOUS, NOT_CLEAN

from modelyard_admission import scan
from modelyard_contracts.admission import ScanVerdict


@pytest.mark.parametrize("name", MALICIOUS)
def test_a_hostile_file_is_malicious(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(MALICIOUS[name]())

    report = scan(tmp_path)

    assert report.verdict is ScanVerdict.MALICIOUS, report
    assert report.findings[0][1].message


@pytest.mark.parametrize("name", NOT_CLEAN)
def test_a_doubtful_file_does_not_pass(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(NOT_CLEAN[name]())

    report = scan(tmp_path)

    assert report.verdict in {ScanVerdict.SUSPICIOUS, ScanVerdict.INCOMPLETE}, report
    assert report.findings[0][1].message
