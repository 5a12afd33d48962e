"""Models made elsewhere on a real stack: registered, tried, served, watched and rolled back."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modelyard_cli.__main__ import app

NEEDED = {"own-cancer": "skops", "own-diabetes": "xgboost", "own-digits": "skl2onnx", "own-rules": "modelyard_cli"}
pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_demo_of_models_made_elsewhere_adds_up(tmp_path: Path) -> None:
    """A cut of `make demo-own`: the models whose libraries are installed, without the one that reads texts."""
    names = [name for name, package in NEEDED.items() if find_spec(package) is not None]
    options = [part for name in names for part in ("--only", name)]
    result = CliRunner().invoke(app, ["demo-own", "--data-dir", str(tmp_path / "demo-own"), "-o", "json", *options])
    assert result.exit_code == 0, result.stderr[-3_000:]
    report = json.loads((tmp_path / "demo-own" / "report.json").read_text())
    assert [model["name"] for model in report["models"]] == names
    assert all(model["predictions_sent"] == model["predictions_stored"] > 0 for model in report["models"])
    assert {model["name"] for model in report["models"] if model["drift_detected"]} == {"own-diabetes"} & set(names)
    assert [one["file"] for one in report["refused"]] == ["bad/model.pkl"]
    assert 0 < report["rollback_seconds"] < 30
