"""kill -9 of each service during a backtest: it goes on by itself, and ends with the same answers and figures.

Two backtests of 2,250 rows: `pytest -m bench tests/crash/test_backtest_kills.py`.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelyard_cli.stack.layout import StackError
from modelyard_cli.stack.state import running_state
from modelyard_devstack.testing import wait_until

pytestmark = [pytest.mark.bench, pytest.mark.server, pytest.mark.timeout(3_600)]

ROWS = 3_000
VICTIMS = ("monitor", "registry", "router", "kafka", "evaluator", "clickhouse", "trainer", "deployer")
FIGURES = ("metric_overall", "trainings", "alarms", "rollbacks")
START_S, BLOCK_S, END_S = 300.0, 300.0, 1_800.0


def start(folder: Path) -> "subprocess.Popen[bytes]":
    words = ("backtest", "--stream", "elec2", "--rows", str(ROWS), "--policy", "adaptive", "--report", str(folder))
    with folder.with_suffix(".log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "modelyard_cli", *words], stdout=log, stderr=log)


def blocks(folder: Path) -> list[dict[str, Any]]:
    """Blocks of rows that have settled."""
    journal = folder / "journal.jsonl"
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


def process_of(folder: Path, victim: str) -> int | None:
    try:
        state = running_state(folder / "stack")
    except StackError:
        return None
    return int((state.get(victim) or state["services"][victim])["pid"])


def answers(folder: Path) -> list[str]:
    return [output for block in blocks(folder) for output in block.get("outputs", ())]


def test_a_backtest_whose_services_are_killed_ends_like_one_without_kills(tmp_path: Path) -> None:
    plain, killed = tmp_path / "plain", tmp_path / "killed"
    assert start(plain).wait(END_S) == 0, plain.with_suffix(".log").read_text()

    running = start(killed)
    wait_until(lambda: process_of(killed, VICTIMS[0]), START_S, what="the stack of the backtest runs")
    for victim in VICTIMS:
        seen = len(blocks(killed))
        wait_until(lambda seen=seen: len(blocks(killed)) > seen, BLOCK_S, what=f"a block before the kill of {victim}")  # type: ignore[misc]
        pid = process_of(killed, victim)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    assert running.wait(END_S) == 0, killed.with_suffix(".log").read_text()

    assert answers(killed) == answers(plain)
    expected, found = (json.loads((one / "report.json").read_text())["policies"][0] for one in (plain, killed))
    assert [found[name] for name in FIGURES] == [expected[name] for name in FIGURES]
