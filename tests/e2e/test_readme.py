"""Every command of the documentation, run in reading order against a stack, as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard_cli.context import Platform

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
GUIDES = (
    "local-stack",
    "demo",
    "ml-engineer",
    "own-models",
    "mlflow",
    "adaptive",
    "backtest",
    "caller",
    "upstream",
    "analyst",
    "console",
    "sre",
    "monitoring",
    "risk-officer",
    "docker",
)
TOPICS = ("security", "resources", "routes", "signatures", "api")
PAGES = (
    "README.md",
    *(f"docs/guides/{name}.md" for name in GUIDES),
    "libs/client/README.md",
    *(f"docs/{name}.md" for name in TOPICS),
)
"""In reading order: later pages use the model that `ml-engineer` trains."""


def blocks(page: str) -> list[tuple[str, str]]:
    """(kind, text) of the code blocks marked `run`."""
    text = (ROOT / page).read_text()
    return re.findall(r"^```(bash|python|sql) run\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(stack_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that resembles a clone with a running stack: `.modelyard` is the stack's folder."""
    place = tmp_path_factory.mktemp("clone")
    (place / ".modelyard").symlink_to(stack_dir)
    (place / ".venv").symlink_to(Path(sys.prefix))
    for name in ("docs", "schemas"):
        (place / name).symlink_to(ROOT / name)
    return place


def test_every_guide_is_run() -> None:
    written = {file.stem for file in (ROOT / "docs/guides").glob("*.md")}
    assert written == set(GUIDES)


def test_every_kind_of_command_is_found() -> None:
    kinds = [kind for page in PAGES for kind, _ in blocks(page)]
    assert (kinds.count("bash") >= 6, kinds.count("python") >= 2, kinds.count("sql") >= 1) == (True, True, True)


def test_every_documented_command_succeeds(folder: Path, platform: Platform) -> None:
    for page in PAGES:
        for kind, text in blocks(page):
            if kind == "sql":
                for statement in filter(str.strip, text.split(";")):
                    platform.query(statement)
            else:
                run(page, kind, text.replace("make up\n", ""), folder)


def run(page: str, kind: str, text: str, folder: Path) -> None:
    command = ["bash", "-euo", "pipefail", "-c", text] if kind == "bash" else [sys.executable, "-c", text]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{page}:\n{text}\n{done.stdout}\n{done.stderr}"
