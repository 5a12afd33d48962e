"""modelyard scan and modelyard register, up to the point where a platform is needed."""

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import modelyard_own
from modelyard import ApiError
from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform
from modelyard_cli.outcomes import Exit
from modelyard_cli.stack.layout import StackError

RUN = CliRunner()


class Runs:
    """A class whose pickle would run a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("true",)


@pytest.fixture
def malicious(tmp_path: Path) -> Path:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Runs()))
    return path


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "predict.py").write_text(
        "def predict(rows):\n    return ['high' if row['n'] > 2 else 'low' for row in rows]\n"
    )
    (folder / "sample.csv").write_text("n,answer\n1,low\n3,high\n")
    return folder


def test_a_malicious_file_is_found_offline_with_a_remedy(malicious: Path) -> None:
    result = RUN.invoke(app, ["scan", str(malicious)])
    assert result.exit_code == Exit.NOT_ACCEPTED
    assert "system" in result.stdout and "skops" in result.stdout
    assert "malicious" in result.stderr


def test_the_report_of_a_scan_is_read_by_programs(malicious: Path) -> None:
    result = RUN.invoke(app, ["scan", str(malicious), "-o", "json"])
    report = json.loads(result.stdout)
    assert report["verdict"] == "malicious"
    assert report["files"][0]["format"] == "pickle"


def test_a_safe_file_is_accepted(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"weights": np.zeros(3)}, tmp_path / "model.safetensors")
    result = RUN.invoke(app, ["scan", str(tmp_path)])
    assert (result.exit_code, result.stderr) == (0, "")
    assert "safe: its format cannot hold code" in result.stdout


def test_a_path_that_does_not_exist_is_an_error_of_the_command_line(tmp_path: Path) -> None:
    assert RUN.invoke(app, ["scan", str(tmp_path / "no")]).exit_code == StackError.exit_code


def test_register_refuses_a_malicious_file_before_it_reads_the_sample(malicious: Path) -> None:
    result = RUN.invoke(app, ["register", str(malicious), "m", "--dry-run"])
    assert result.exit_code == Exit.NOT_ACCEPTED
    assert "nothing was loaded or uploaded" in result.stderr


def test_code_needs_the_permission_of_a_person(rules: Path) -> None:
    refused = RUN.invoke(app, ["register", str(rules), "m", "--dry-run"])
    assert refused.exit_code == Exit.NOT_ACCEPTED
    assert "--allow-code" in refused.stderr
    allowed = RUN.invoke(
        app, ["register", str(rules), "m", "--dry-run", "--allow-code", "--reason", "reviewed", "-o", "json"]
    )
    assert allowed.exit_code == 0
    document = json.loads(allowed.stdout)
    assert (document["flavour"], document["signature"]["output"]["classes"]) == ("python", ["high", "low"])
    assert document["permissions"] == {"code": True, "network": False, "reason": "reviewed"}


def test_modelyard_yaml_states_what_the_files_do_not(rules: Path) -> None:
    (rules / "modelyard.yaml").write_text("classes: [low, high]\nlicense: MIT\n")
    arguments = ["register", str(rules), "m", "--dry-run", "--allow-code", "--reason", "reviewed", "-o", "json"]
    document = json.loads(RUN.invoke(app, arguments).stdout)
    assert document["signature"]["output"]["classes"] == ["low", "high"]
    assert document["source"]["license"] == "MIT"
    changed = json.loads(RUN.invoke(app, [*arguments, "--license", "Apache-2.0"]).stdout)
    assert changed["source"]["license"] == "Apache-2.0"


def test_findings_of_the_registry_are_listed(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = {"file": "predict.py", "rule": "python-code", "verdict": "suspicious", "message": "is source code"}
    body = {"code": "inadmissible", "findings": [{**finding, "place": "line 1", "remedy": "ask a reviewer"}]}

    def refuse(*_: object) -> None:
        raise ApiError(422, "inadmissible", "refused", "the scan found the files suspicious", body=body)

    monkeypatch.setattr(modelyard_own, "register_plan", refuse)
    monkeypatch.setattr(
        Platform, "find", lambda *_: SimpleNamespace(urls={"registry": "http://127.0.0.1:1"}, token="t")
    )
    result = RUN.invoke(app, ["register", str(rules), "m", "--allow-code", "--reason", "reviewed"])
    assert result.exit_code == Exit.NOT_ACCEPTED
    assert "predict.py at line 1: is source code [python-code, suspicious] ask a reviewer" in result.stderr


def test_an_unknown_option_of_a_flavour_has_a_form(rules: Path) -> None:
    result = RUN.invoke(app, ["register", str(rules), "m", "--dry-run", "--option", "scores"])
    assert result.exit_code == StackError.exit_code
    assert "NAME=VALUE" in result.stderr
