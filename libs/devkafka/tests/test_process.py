"""The broker as a process: start, failed starts, kill -9, full disk."""

import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard_devkafka.errors import Code
from modelyard_devkafka.testing import RawClient, record_batch
from modelyard_devkafka.wire.group_apis import OFFSET_COMMIT, OFFSET_FETCH
from modelyard_devstack.testing import wait_until

Start = Callable[..., "tuple[subprocess.Popen[str], str]"]
pytestmark = pytest.mark.usefixtures("loopback")


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def run(data: Path, port: int = 0, *more: str, **options: object) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "modelyard_devkafka", "--port", str(port), "--data", str(data), *more]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
        running.append(process)
        line = process.stdout.readline()
        return process, line.removeprefix("ready ").strip()

    yield run
    for process in running:
        process.kill()
        process.communicate()


def refused(process: "subprocess.Popen[str]") -> str:
    """Return the line on stderr of a broker that failed to start."""
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 2
    assert stderr.count("\n") == 1, stderr
    return stderr


def test_it_prints_its_address_and_stops_on_sigterm(tmp_path: Path, start: Start) -> None:
    process, bootstrap = start(tmp_path)
    assert bootstrap.startswith("127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_a_port_in_use_is_reported(tmp_path: Path, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process, _ = start(tmp_path, port)
        assert f"port {port} on 127.0.0.1 is in use" in refused(process)


def test_it_listens_on_loopback_only(tmp_path: Path, start: Start) -> None:
    process, _ = start(tmp_path, 0, "--host", "0.0.0.0")
    assert "loopback only" in refused(process)


def test_a_data_folder_has_one_broker(tmp_path: Path, start: Start) -> None:
    first, _ = start(tmp_path)
    second, _ = start(tmp_path)
    assert f"belongs to a running broker (pid {first.pid})" in refused(second)


def test_a_data_folder_that_is_a_file_is_reported(tmp_path: Path, start: Start) -> None:
    (tmp_path / "file").write_text("")
    process, _ = start(tmp_path / "file" / "data")
    assert "cannot use the data folder" in refused(process)


def test_a_damaged_journal_is_reported(tmp_path: Path, start: Start) -> None:
    (tmp_path / "journal").write_bytes(b"00000000 {}\n00000000 {}\n")
    process, _ = start(tmp_path)
    assert "is damaged in line 1" in refused(process)


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, start: Start) -> None:
    process, bootstrap = start(tmp_path)
    with RawClient(bootstrap) as client:
        client.create_topic("t", 2)
        acknowledged = 0
        for round_ in range(3):
            for number in range(200):
                answer = client.produce("t", record_batch([b"%d" % number]), index=number % 2)
                acknowledged += answer["error_code"] == 0
            _commit(client, round_)
            process.kill()
            process.wait()
            process, bootstrap = start(tmp_path, int(bootstrap.split(":")[1]))
            client = RawClient(bootstrap)
            assert (
                client.fetch("t", 0)["high_watermark"] + client.fetch("t", 0, index=1)["high_watermark"] == acknowledged
            )
            topics = [{"name": "t", "partitions": [0]}]
            [item] = client.ask(OFFSET_FETCH, 3, group_id="g", topics=topics)["topics"][0]["partitions"]
            assert (item["committed_offset"], item["metadata"]) == (round_, "because")


def _commit(client: RawClient, offset: int) -> None:
    item = {"index": 0, "committed_offset": offset, "committed_metadata": "because"}
    topic = {"name": "t", "partitions": [item]}
    reply = client.ask(
        OFFSET_COMMIT, 3, group_id="g", generation_id=-1, member_id="", retention_time_ms=-1, topics=[topic]
    )
    assert reply["topics"][0]["partitions"][0]["error_code"] == 0


def test_on_a_full_disk_unwritten_records_are_not_acknowledged(tmp_path: Path, start: Start) -> None:
    """RLIMIT_FSIZE stands in for a full disk: writes are cut short, then fail."""
    limit = 60_000
    process, bootstrap = start(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    with RawClient(bootstrap) as client:
        client.create_topic("t")
        answers = [client.produce("t", record_batch([b"x" * 7_000])) for _ in range(12)]
        codes = [answer["error_code"] for answer in answers]
        assert codes == [0] * 8 + [Code.KAFKA_STORAGE_ERROR] * 4
        assert client.produce("t", record_batch([b"small"]))["base_offset"] == 8, "a smaller record still fits"
    process.kill()
    process.wait()
    _, bootstrap = start(tmp_path)
    with RawClient(bootstrap) as client:
        assert client.fetch("t", 0)["high_watermark"] == 9


def test_a_full_journal_refuses_commits(tmp_path: Path, start: Start) -> None:
    limit = 20_000
    _, bootstrap = start(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    item = {"index": 0, "committed_offset": 1, "committed_metadata": "m" * 4000}
    with RawClient(bootstrap) as client:
        client.create_topic("t")
        codes = []
        for number in range(6):
            reply = client.ask(
                OFFSET_COMMIT, 3, group_id=f"g{number}", generation_id=-1, member_id="", retention_time_ms=-1,
                topics=[{"name": "t", "partitions": [item]}],
            )  # fmt: skip
            codes.append(reply["topics"][0]["partitions"][0]["error_code"])
    assert codes == [0] * 4 + [Code.NOT_COORDINATOR] * 2


def test_it_starts_small(tmp_path: Path, start: Start) -> None:
    process, _ = start(tmp_path)
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        pytest.skip("needs /proc")
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    assert int(line.split()[1]) < 45 * 1024


def test_the_lock_is_free_after_kill_9(tmp_path: Path, start: Start) -> None:
    process, _ = start(tmp_path)
    process.kill()
    process.wait()
    fd = os.open(tmp_path / "lock", os.O_RDWR)

    def take_lock() -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    wait_until(take_lock, 10)
    os.close(fd)
