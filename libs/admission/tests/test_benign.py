"""Ordinary artifacts pass: a scanner that cries wolf is switched off."""

from pathlib import Path

import pytest
from libs.admission.tests import benign

from modelyard_admission import recognise, scan
from modelyard_contracts.admission import ScanVerdict

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PASSES = {ScanVerdict.SAFE_FORMAT, ScanVerdict.ALLOW_LISTED}
MAX_FLAGGED_SHARE = 0.02


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return dict(benign.files(tmp_path_factory.mktemp("benign")))


def test_at_most_two_percent_of_ordinary_artifacts_are_flagged(artifacts: dict[str, Path]) -> None:
    reports = {name: scan(path) for name, path in artifacts.items()}

    flagged = {name: report for name, report in reports.items() if report.verdict not in PASSES}

    assert len(reports) >= 50
    assert len(flagged) <= MAX_FLAGGED_SHARE * len(reports), flagged


def test_every_ordinary_artifact_is_recognised(artifacts: dict[str, Path]) -> None:
    unknown = {name: recognise(path) for name, path in artifacts.items()}

    assert not [
        name for name, model in unknown.items() if model.flavour is None and not (model.reason and model.remedy)
    ]
