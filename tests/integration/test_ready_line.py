"""Supervisors wait for the line `ready ADDRESS` while other threads log to the same stream."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.usefixtures("loopback"), pytest.mark.timeout(120)]

TOY = Path(__file__).parents[2] / "libs" / "runtime" / "tests" / "scripts" / "toyservice.py"
PROGRAMS = {
    "the development broker": ["-m", "modelyard_devkafka", "--port", "0", "--data"],
    "the local ClickHouse": ["-m", "modelyard_devclickhouse", "--port", "0", "--data"],
    "a service": [str(TOY)],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_ready_line_is_one_write_so_that_no_log_line_can_split_it(program: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef")
    toy = {"MODELYARD_ADMIN_KEY_FILE": str(tmp_path / "key"), "TOY_PORT": "0", "TOY_DATA_DIR": str(tmp_path)}
    command = [sys.executable, *PROGRAMS[program], *([] if program == "a service" else [str(tmp_path / "data")])]
    writes, output = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps writes separate
    env = {**os.environ, **toy, "PYTHONUNBUFFERED": "1"}
    with writes, subprocess.Popen(command, env=env, stdout=output.fileno(), stderr=subprocess.DEVNULL) as child:
        output.close()
        writes.settimeout(60)
        try:
            said = writes.recv(65_536)
            while not said.startswith(b"ready "):
                assert said, "it ended"
                said = writes.recv(65_536)
        finally:
            child.kill()
    assert said.endswith(b"\n") and said.count(b"\n") == 1
