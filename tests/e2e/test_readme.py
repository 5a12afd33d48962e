"""The README's own commands, run in its order against a stack, as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard_cli.context import Platform

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "libs/client/README.md")
"""Read one after another: the second speaks of the model that the first one trains."""
BLOCKS = [
    block
    for page in PAGES
    for block in re.findall(
        r"^```(bash|python|sql) run\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE
    )
]


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
    kinds = [kind for kind, _ in BLOCKS]
    assert (kinds.count("bash") >= 6, kinds.count("python") >= 2, kinds.count("sql") >= 1) == (True, True, True)


def test_the_commands_of_the_readme_run_in_order(folder: Path, platform: Platform) -> None:
    for kind, text in BLOCKS:
        if kind == "sql":
            for statement in filter(str.strip, text.split(";")):
                platform.query(statement)
        else:
            run(kind, text.replace("make up\n", ""), folder)


def run(kind: str, text: str, folder: Path) -> None:
    command = ["bash", "-euo", "pipefail", "-c", text] if kind == "bash" else [sys.executable, "-c", text]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
