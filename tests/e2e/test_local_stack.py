"""The local stack as a user sees it: started once, used by clients, stopped completely."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import psutil
import pytest

from modelyard_cli.stack.commands import start_stack, stop_stack
from modelyard_cli.stack.layout import Layout
from modelyard_cli.stack.state import find, read_state, running_state
from modelyard_devstack.testing import stays, wait_until

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(200)]

SERVICES = {"registry", "trainer", "evaluator", "deployer", "router", "monitor", "console"}


def modelyard(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    command = [sys.executable, "-m", "modelyard_cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_status_points_any_client_at_the_stack(stack_dir: Path) -> None:
    status = json.loads(modelyard("status", "--data-dir", str(stack_dir), "-o", "json").stdout)
    assert set(status["services"]) == SERVICES
    assert all(service["ready"] and service["pid"] and service["url"] for service in status["services"].values())
    key = Path(status["admin_key_file"]).read_text().strip()
    subjects = httpx.get(f"{status['schema_registry']['url']}/subjects", headers={"authorization": f"Bearer {key}"})
    assert "serving.prediction.logged.v1-value" in subjects.json()
    clickhouse = status["clickhouse"]
    with clickhouse_connect.get_client(
        dsn=clickhouse["url"],
        username=clickhouse["reader"]["user"],
        password=clickhouse["reader"]["password"],
        database=clickhouse["database"],
    ) as client:
        assert client.query("SELECT count() FROM predictions").result_rows
        with pytest.raises(Exception, match=r"(?i)readonly|not allowed|denied|privileges"):
            client.command("DROP TABLE predictions")
    assert status["kafka"]["provider"] in ("development", "kafka-home", "given", "docker")


def test_a_second_up_in_the_same_folder_is_rejected(stack_dir: Path) -> None:
    second = modelyard("up", "--data-dir", str(stack_dir), "--any-ports")
    assert second.returncode == 2
    assert "already runs in" in second.stderr
    assert "Traceback" not in second.stderr


def family(state: dict[str, object]) -> list[psutil.Process]:
    roots = [psutil.Process(int(identity["pid"])) for identity in state["processes"]]  # type: ignore[attr-defined]
    return [member for root in roots for member in (root, *root.children(recursive=True))]


def gone(processes: list[psutil.Process], within_s: float = 20.0) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return not alive


def test_down_stops_everything_after_the_supervisor_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    start_stack(folder, any_ports=True)
    state = running_state(folder)
    processes = family(state)
    os.kill(int(state["supervisor"]["pid"]), signal.SIGKILL)
    stays(lambda: all(process.is_running() for process in processes), 0.5)
    assert stop_stack(folder)
    assert gone(processes)


def test_down_leaves_no_process_and_up_finds_the_data_again(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    start_stack(folder, any_ports=True)
    key = (folder / "admin.key").read_text()
    state = running_state(folder)
    processes = family(state)
    assert state["ready_after_s"] < 30
    assert sum(process.memory_info().rss for process in processes) < 2 * 2**30
    url = state["services"]["registry"]["url"]
    headers = {"authorization": f"Bearer {key.strip()}"}
    assert httpx.post(f"{url}/v1/models", json={"name": "kept"}, headers=headers).status_code == 201
    assert modelyard("down", "--data-dir", str(folder)).returncode == 0
    assert gone(processes)

    start_stack(folder, any_ports=True)
    try:
        url = running_state(folder)["services"]["registry"]["url"]
        models = httpx.get(f"{url}/v1/models", headers=headers).json()["items"]
        assert [model["name"] for model in models] == ["kept"]
    finally:
        stop_stack(folder)


def test_an_up_that_is_interrupted_leaves_nothing_running(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    command = [sys.executable, "-m", "modelyard_cli", "up", "--any-ports", "--data-dir", str(folder)]
    up = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    state = wait_until(lambda: read_state(Layout(folder)) or up.poll() is not None, 60, every_s=0.02)
    assert up.poll() is None
    up.terminate()  # same as Ctrl-C, which background processes ignore
    try:
        stdout, stderr = up.communicate(timeout=90)
        assert (up.returncode, stdout) == (130, "")
        assert "stopped before all was ready" in stderr
        assert find(state["supervisor"]) is None
    finally:
        left = stop_stack(folder)
    assert not left


def ready_state(layout: Layout) -> dict[str, Any] | None:
    state = read_state(layout)
    return state if state and state["phase"] == "ready" else None


def test_a_terminated_demo_leaves_no_process(tmp_path: Path) -> None:
    rows = "\n".join(f"{i % 7},{i % 3},{'yes' if i % 2 else 'no'}" for i in range(3_000))
    (tmp_path / "some.csv").write_text(f"a,b,target\n{rows}\n")
    command = [sys.executable, "-m", "modelyard_cli", "demo", "--data", str(tmp_path / "some.csv")]
    demo = subprocess.Popen([*command, "--data-dir", str(tmp_path / "demo")], stderr=subprocess.DEVNULL)
    layout = Layout(tmp_path / "demo" / "stack")
    state = wait_until(lambda: ready_state(layout) or demo.poll() is not None, 60)
    assert demo.poll() is None
    processes = family(state)
    demo.terminate()
    assert demo.wait(60) != 0
    assert gone(processes)
