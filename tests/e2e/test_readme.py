"""The README's own commands, run in its order against a stack, as a reader would."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelyard_cli.context import Platform

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(bash|python|sql) run\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(stack_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place that looks like a clone whose stack is up: `.modelyard` is the running one's folder."""
    place = tmp_path_factory.mktemp("clone")
    (place / ".modelyard").symlink_to(stack_dir)
    (place / ".venv").symlink_to(Path(sys.prefix))
    for name in ("docs", "schemas"):
        (place / name).symlink_to(ROOT / name)
    return place


def test_there_is_something_to_run() -> None:
    assert [kind for kind, _ in BLOCKS].count("bash") >= 5


def test_the_commands_of_the_readme_run_in_order(folder: Path, platform: Platform) -> None:
    for kind, text in BLOCKS:
        if kind == "sql":
            for statement in filter(str.strip, text.split(";")):
                platform.query(statement)
        else:
            run(kind, text.replace("make up\n", ""), folder)
        if "modelyard train" in text:
            wait_until_served(platform, "churn")


def run(kind: str, text: str, folder: Path) -> None:
    command = ["bash", "-euo", "pipefail", "-c", text] if kind == "bash" else [sys.executable, "-c", text]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def wait_until_served(platform: Platform, model: str) -> None:
    deadline = time.monotonic() + 90
    while not any(route["route"] == model for route in platform.router.routes()):
        assert time.monotonic() < deadline, f"{model} was not rolled out: {platform.evaluator.evaluations(model)}"
        time.sleep(0.5)
