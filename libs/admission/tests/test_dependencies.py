"""Requirements are compared with the operator's snapshot; without one, nothing is known and nothing is blocked."""

import json
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

from modelyard_admission import scan, scan_isolated
from modelyard_admission.dependencies import order
from modelyard_contracts.admission import ScanVerdict

RECORD = {
    "id": "PYSEC-2026-1",
    "summary": "reads too much",
    "modified": "2026-10-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Some_Package"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1.0"}, {"fixed": "1.10"}]}],
        }
    ],
}
REQUIREMENTS = "# pins\nsome.package[fast]==1.9 ; python_version > '3'\nnumpy>=2\nother==1.0 --hash=sha256:00\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "requirements.txt").write_text(REQUIREMENTS)
    return tmp_path / "model"


@pytest.fixture(params=["folder", "zip"])
def snapshot(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "folder":
        (tmp_path / "osv").mkdir()
        (tmp_path / "osv" / "1.json").write_text(json.dumps(RECORD))
        return tmp_path / "osv"
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("1.json", json.dumps(RECORD))
    return tmp_path / "all.zip"


def test_a_vulnerable_pin_is_suspicious_and_names_the_version_that_fixes_it(model: Path, snapshot: Path) -> None:
    report = scan(model, osv_snapshot=snapshot)

    assert report.verdict is ScanVerdict.SUSPICIOUS
    [(path, finding)] = report.findings
    assert (path, finding.rule, finding.place) == ("requirements.txt", "vulnerable-dependency", "line 2")
    assert finding.remedy == "Require some-package 1.10 or newer."
    assert report.dependencies is not None and report.dependencies.snapshot_at is not None
    assert (report.dependencies.checked, report.dependencies.unchecked) == (2, ("numpy>=2",))
    assert [found.id for found in report.dependencies.vulnerabilities] == ["PYSEC-2026-1"]


def test_the_isolated_scan_reads_the_snapshot_too(model: Path, snapshot: Path) -> None:
    assert scan_isolated(model, osv_snapshot=snapshot).verdict is ScanVerdict.SUSPICIOUS


def test_without_a_snapshot_nothing_is_known_and_the_model_passes(model: Path) -> None:
    report = scan(model)

    assert report.verdict is ScanVerdict.SAFE_FORMAT
    assert report.dependencies is not None and report.dependencies.snapshot_at is None


@pytest.mark.parametrize("fixed", ["1.10", "1.9.1", "2"])
@pytest.mark.parametrize("pinned", ["1.0", "1.9", "1.9.post1", "1.10rc1", "1.10", "0.9", "2.0.0"])
def test_a_range_holds_the_versions_that_packaging_puts_into_it(tmp_path: Path, pinned: str, fixed: str) -> None:
    record = json.loads(json.dumps(RECORD).replace('"1.10"', f'"{fixed}"'))
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv" / "1.json").write_text(json.dumps(record))
    (tmp_path / "requirements.txt").write_text(f"some-package=={pinned}\n")

    report = scan(tmp_path / "requirements.txt", osv_snapshot=tmp_path / "osv")

    affected = Version("1.0") <= Version(pinned) < Version(fixed)
    assert (report.verdict is ScanVerdict.SUSPICIOUS) == affected


def test_versions_are_ordered_as_packaging_orders_them() -> None:
    versions = [
        "1!0.1",
        "1.0",
        "1.0.0",
        "1.0.dev1",
        "1.0a1.dev2",
        "1.0a1",
        "1.0b2",
        "1.0rc1",
        "1.0.post1",
        "1.0-1",
        "v1.1",
        "1.10",
        "1.9",
    ]

    for first in versions:
        for second in versions:
            mine, theirs = order(first), order(second)
            assert mine is not None and theirs is not None
            assert (mine < theirs) == (Version(first) < Version(second)), (first, second)
