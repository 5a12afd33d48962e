"""kill -9 of every process under load: every prediction is stored once, every label is joined."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from tests.e2e.conftest import turning_stream

from modelyard_cli.context import Platform
from modelyard_cli.demo import first as first_version
from modelyard_cli.demo.measure import counts
from modelyard_cli.demo.traffic import Traffic
from modelyard_cli.stack.commands import start_stack, stop_stack
from modelyard_cli.stack.state import running_state
from modelyard_devstack.testing import wait_until

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]

ROWS, FIRST = 40_000, 4_000
"""More rows than are sent: the traffic goes on until the last victim is back, however long a busy machine takes."""
RATE_PER_S = 120.0
REPLICA = "replica"
"""A model server: the deployer starts another, callers retry their requests under the same ids meanwhile."""
VICTIMS = (REPLICA, "monitor", "registry", "router", "kafka", "evaluator", "clickhouse", "trainer", "deployer", REPLICA)
ROWS_BETWEEN_KILLS = 500


@pytest.fixture(scope="module")
def stack_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("crash-stack")
    start_stack(folder, any_ports=True)
    yield folder
    stop_stack(folder)


def replicas(stack_dir: Path) -> set[int]:
    """Process ids of the model servers: each writes to a log that is named after its replica."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            log = (process / "fd" / "2").readlink()
            if log.suffix == ".log" and log.is_relative_to(stack_dir) and UUID(log.stem):
                found.add(int(process.name))
    return found


def kill(stack_dir: Path, victim: str) -> int:
    """kill -9; returns the process id."""
    if victim == REPLICA:
        pid = min(replicas(stack_dir))
    else:
        state = running_state(stack_dir)
        pid = int((state.get(victim) or state["services"][victim])["pid"])
    os.kill(pid, signal.SIGKILL)
    return pid


def is_back(stack_dir: Path, victim: str, dead: int) -> bool:
    if victim == REPLICA:
        return bool(replicas(stack_dir) - {dead})
    state = running_state(stack_dir)
    found = state.get(victim) or state["services"].get(victim) or {}
    return found.get("pid") not in (None, dead) and found.get("ready", True)


def test_no_kill_loses_or_duplicates_anything(stack_dir: Path) -> None:
    platform = Platform.find(stack_dir)
    stream = turning_stream("survivor", ROWS, turn_at=ROWS)
    first_version.create_model(platform, stream, RATE_PER_S)
    digest = first_version.upload_first_tenth(platform, stream)
    first_version.train_first(platform, stream, digest, lambda _: None)
    traffic = Traffic(platform.urls["router"], platform.token, stream, "kill")
    failures: list[BaseException] = []
    all_killed = threading.Event()

    def send() -> None:
        try:
            asyncio.run(traffic.send(FIRST, RATE_PER_S, all_killed.is_set))
        except BaseException as error:
            failures.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    for victim in VICTIMS:
        sent = traffic.answers.sent
        wait_until(
            lambda sent=sent: traffic.answers.sent >= sent + ROWS_BETWEEN_KILLS or failures,  # type: ignore[misc]
            60,
            what=f"{ROWS_BETWEEN_KILLS} rows after {sent}, before the kill of {victim}",
        )
        dead = kill(stack_dir, victim)
        wait_until(lambda victim=victim, dead=dead: is_back(stack_dir, victim, dead), 60, what=f"{victim} is back")  # type: ignore[misc]
    all_killed.set()
    sender.join()

    assert failures == []
    answers = traffic.answers
    assert len(VICTIMS) * ROWS_BETWEEN_KILLS <= answers.sent < ROWS - FIRST
    counts(platform, stream.name, "kill", answers.sent, answers.labels_sent)
    stored = platform.query(
        "SELECT prediction_id, count() AS times FROM predictions WHERE model = {m:String} AND status = 'ok' "
        "GROUP BY prediction_id",
        {"m": stream.name},
    )
    times = {row["prediction_id"]: row["times"] for row in stored}
    assert set(answers.ids.values()) - set(times) == set(), "predicted but not stored"
    assert {id_: n for id_, n in times.items() if n != 1} == {}, "stored more than once"
    assert set(times) <= answers.tried
    failed = platform.query(
        "SELECT prediction_id FROM v_predictions WHERE model = {m:String} AND status != 'ok'", {"m": stream.name}
    )
    superseded = {row["prediction_id"] for row in failed} & set(answers.ids.values())
    assert superseded == set(), "a failed try is shown instead of the answer that its retry got"
    [exact] = platform.query("SELECT count() AS rows, uniqExact(_partition, _offset) AS places FROM predictions")
    assert exact["rows"] == exact["places"]
    [joined] = platform.query("SELECT uniqExact(prediction_id) AS n FROM v_matched")
    assert joined["n"] == answers.labels_sent
