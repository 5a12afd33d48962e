"""`modelyard train` on a running stack: ugly names, the same file again, a file that differs, noise."""

import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

import pytest

from modelyard_cli.context import Platform

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]
NAMES: Final = ("größe", 'plan\nname\t"\\', "num", "prediction_id", "occurred_at", "left")
MODEL: Final = "ugly"
Rows = list[list[str]]


def rows(count: int, seed: int = 3) -> Rows:
    random = Random(seed)
    found = []
    for at in range(count):
        size, plan = random.gauss(0, 1), random.choice(["basic", "pro"])
        left = size + (plan == "pro") + random.gauss(0, 0.4) > 0.5
        cell = "NA" if at % 50 == 7 else f"{size:.3f}"
        found.append([cell, plan, f"{random.randrange(50):05}", str(at), random.choice("ab"), "yes" if left else "no"])
    return found


def write(path: Path, lines: Rows, names: Sequence[str] = NAMES) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *lines])
    return path


def train(stack: Path, file: Path, *options: str, model: str = MODEL) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelyard_cli", "train", model, str(file), "--data-dir", str(stack), *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=500, check=False, env={**os.environ, "COLUMNS": "100"}
    )


def test_a_file_with_ugly_names_is_trained_served_and_trained_again(stack_dir: Path, tmp_path: Path) -> None:
    platform, file = Platform.find(stack_dir), write(tmp_path / "a.csv", rows(1_200))
    first = train(stack_dir, file)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "target: left" in first.stderr and "größe (number, 24 missing)" in first.stderr
    assert first.stdout.splitlines()[-1].startswith("version 1 promoted")
    answer = platform.router.predict(MODEL, dict(zip(NAMES[:-1], [None, "pro", "00007", 3, "a"], strict=True)))
    assert answer.class_ in ("no", "yes")

    again = train(stack_dir, file)
    assert again.returncode == 4, again.stdout + again.stderr
    assert "held-out part of the challenger's training dataset" in again.stderr

    codes = {"basic": "2", "pro": "1"}
    other = write(tmp_path / "b.csv", [[codes.get(cell, cell) for cell in row] for row in rows(600)])
    differs = train(stack_dir, other)
    assert differs.returncode == 2 and "holds integer values, not category" in differs.stderr


def test_noise_is_not_promoted_and_the_last_line_says_so(stack_dir: Path, tmp_path: Path) -> None:
    random = Random(5)
    noise = [[f"{random.gauss(0, 1):.3f}", "yes" if random.random() < 0.6 else "no"] for _ in range(900)]
    result = train(stack_dir, write(tmp_path / "noise.csv", noise, ("x", "label")), model="noise")
    assert result.returncode == 4, result.stdout + result.stderr
    assert "the majority class" in result.stderr.splitlines()[-1]
    assert Platform.find(stack_dir).deployer.rollouts("noise") == ()


def test_without_follow_the_version_is_registered_and_the_last_line_says_where_to_look(
    stack_dir: Path, tmp_path: Path
) -> None:
    result = train(stack_dir, write(tmp_path / "c.csv", rows(700)), "--no-follow", model="left-alone")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "version 1 is registered; see `modelyard history left-alone`"
