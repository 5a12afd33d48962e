"""The stack's folder, ports and state; the processes themselves are tested in tests/e2e."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from modelyard_cli.__main__ import app
from modelyard_cli.stack import layout as stack_layout
from modelyard_cli.stack.layout import Layout, StackError, choose_ports
from modelyard_cli.stack.state import end_processes, ended, find, identify, read_state, write_state
from modelyard_cli.stack.supervisor import sole_owner
from modelyard_devstack.testing import wait_until


def test_the_key_is_made_once_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "s")
    layout.prepare()
    key = layout.admin_key_file.read_text()
    layout.prepare()
    assert layout.admin_key_file.read_text() == key
    assert len(key) > 40
    assert layout.admin_key_file.stat().st_mode & 0o777 == 0o600


def test_the_stacks_folder_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "s")
    layout.prepare()
    assert layout.root.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="use another folder with --data-dir"):
        Layout(tmp_path / "file" / "s").prepare()


def test_a_port_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(stack_layout, "CLICKHOUSE_PORT", taken.getsockname()[1])
        with pytest.raises(StackError, match=rf"{taken.getsockname()[1]} \(clickhouse\)"):
            choose_ports(automatic=False)


def test_free_ports_are_different_ones() -> None:
    ports = choose_ports(automatic=True)
    assert len(set(ports.values())) == len(ports) == 9


def test_state_is_private_and_replaced_whole(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert read_state(layout) is None
    write_state(layout, {"phase": "ready"})
    assert read_state(layout) == {"phase": "ready"}
    assert layout.state_file.stat().st_mode & 0o777 == 0o600


def test_a_pid_that_came_round_again_is_not_taken_for_the_process() -> None:
    me = identify(os.getpid())
    assert find(me) is not None
    assert find({**me, "started": me["started"] - 60}) is None


@pytest.mark.process
def test_a_process_is_ended_with_its_children(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = (
        "import subprocess, sys, time, pathlib;"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"pathlib.Path({str(ready)!r}).write_text(str(p.pid)); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    wait_until(lambda: ready.exists() and ready.read_text())
    child = identify(int(ready.read_text()))
    parent = find(identify(process.pid))
    assert parent is not None
    end_processes([parent], grace_s=0.5)
    process.wait(30)
    assert find(child) is None


@pytest.mark.process
def test_a_process_that_nobody_reaps_has_ended_all_the_same(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    found = psutil.Process(process.pid)
    assert not ended([found], 0.1)
    process.kill()  # a zombie from now on, as we do not wait for it
    assert ended([found], 30)
    assert found.is_running()
    process.wait(30)


def test_a_second_owner_of_a_folder_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with sole_owner(layout), pytest.raises(StackError, match="already runs in"), sole_owner(layout):
        pass


@pytest.mark.parametrize("command", [["status"], ["models"], ["drift", "m"], ["rollback", "m"]])
def test_commands_without_a_stack_say_how_to_start_one(tmp_path: Path, command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--data-dir", str(tmp_path)], env={"REGISTRY_URL": ""})
    assert result.exit_code == 2
    assert "modelyard up" in result.output


def test_half_an_environment_is_refused_by_name(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["models", "--data-dir", str(tmp_path)], env={"REGISTRY_URL": "http://x"})
    assert result.exit_code == 2
    assert "MODELYARD_ADMIN_KEY_FILE" in result.output


def test_data_of_another_format_are_named_before_anything_starts(tmp_path: Path) -> None:
    Layout(tmp_path / "new").prepare()
    Layout(tmp_path / "new").prepare()
    old = tmp_path / "old" / "data" / "registry"
    old.mkdir(parents=True)
    with pytest.raises(StackError, match=r"have format 1; this version reads format 3; move the folder away"):
        Layout(tmp_path / "old").prepare()
