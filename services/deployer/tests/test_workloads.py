"""The behaviour of `Workloads`, on real model servers and on the fake processes that the other tests use."""

import os
import signal
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from modelyard_contracts.manifest import ManifestFile
from modelyard_contracts.policies import GatePolicy, RolloutPolicy
from modelyard_deployer.domain.errors import VersionUnusable
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import Resources, VersionKey, Workload
from modelyard_deployer.reconcile.scheduler import IDLE_S
from modelyard_deployer.workloads.downloads import Downloads
from modelyard_deployer.workloads.lifecycle import Lifecycle, Processes
from modelyard_deployer.workloads.local import LocalWorkloads
from modelyard_deployer.workloads.processes import PROBE_TIMEOUT_S, LocalProcesses
from modelyard_deployer.workloads.records import ReplicaRecords
from modelyard_deployer.workloads.tokens import ServingTokens
from modelyard_devstack.testing import wait_until
from modelyard_runtime.clock import FakeClock, system_clock

from .conftest import FakeProcesses, Inline, a_version
from .test_processes import a_real_version

T = TypeVar("T")
GRACE_S = 1.0
MAX_FAILED_PROBES = 12
SPARE_AFTER_PROBES = 4


class LocalFiles:
    """A registry whose download is the folder it was given."""

    def __init__(self, source: Path | None) -> None:
        self._source = source

    def version(self, model: str, version: int) -> Version:
        raise VersionUnusable("not used")

    def policy(self, model: str) -> RolloutPolicy:
        raise VersionUnusable("not used")

    def gate(self, model: str) -> GatePolicy:
        raise VersionUnusable("not used")

    def download(self, file: ManifestFile, folder: Path) -> None:
        if self._source is not None:
            for path in self._source.iterdir():
                (folder / path.name).write_bytes(path.read_bytes())


class Backing:
    """Workloads on one kind of processes, and what a test does to them from outside."""

    def __init__(self, folder: Path, processes: Processes, version: Version, source: Path | None) -> None:
        self.folder, self.processes, self.version = folder, processes, version
        self.key = VersionKey(version.model, version.version)
        self.source = source
        self.workloads = self.successor()

    def now(self) -> datetime:
        return system_clock()

    def successor(self) -> LocalWorkloads:
        """Another deployer on the same folder."""
        downloads = Downloads(LocalFiles(self.source), self.folder / "models", self.now, lambda _: None, Inline())
        records = ReplicaRecords(self.folder / "replicas")
        lifecycle = Lifecycle(
            self.processes,
            downloads,
            records,
            self.now,
            max_failed_probes=MAX_FAILED_PROBES,
            spare_after_probes=SPARE_AFTER_PROBES,
        )
        return LocalWorkloads(lifecycle, drain_s=0.0, pool=Inline())

    def ensure(self, replicas: int = 1) -> Workload:
        self.workloads.poll()
        return self.workloads.ensure(self.version, replicas, Resources(memory_mib=4096))

    def until(self, condition: Callable[[], T], timeout_s: float = 90.0) -> T:
        found: T = wait_until(condition, timeout_s)
        return found

    def ready(self, replicas: int = 1) -> Workload:
        self.until(lambda: self.ensure(replicas).ready)
        return self.ensure(replicas)

    def kill(self, url: str) -> None:
        os.kill(_pid_of(url), signal.SIGKILL)

    def hang(self, url: str) -> None:
        """The process neither answers nor reacts to SIGTERM any more."""
        os.kill(_pid_of(url), signal.SIGSTOP)

    def recover(self, url: str) -> None:
        """A process that hung answers again."""
        os.kill(_pid_of(url), signal.SIGCONT)

    def exited(self, url: str) -> bool:
        return _pid_of(url) == 0

    def answers(self, url: str) -> bool:
        return self.processes.answers(url)

    def break_files(self) -> None:
        assert self.source is not None
        (self.source / "model.skops").write_bytes(b"altered")


class FakeBacking(Backing):
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.fake = FakeProcesses(self.clock, GRACE_S)
        super().__init__(folder, self.fake, a_version(7), None)

    def now(self) -> datetime:
        return self.clock()

    def until(self, condition: Callable[[], T], timeout_s: float = 90.0) -> T:
        for _ in range(int(timeout_s / 0.25)):
            if result := condition():
                return result
            self.clock.advance(0.25)
        raise AssertionError("the condition did not become true in time")

    def kill(self, url: str) -> None:
        self.fake.kill(7)

    def hang(self, url: str) -> None:
        self.fake.hang(url)

    def recover(self, url: str) -> None:
        self.fake.hung.clear()

    def exited(self, url: str) -> bool:
        return not any(url.endswith(f":{process.pid}") for process in self.fake.running.values())

    def break_files(self) -> None:
        self.fake.unstartable = {7}


def _pid_of(url: str) -> int:
    """Process that listens at an address; 0 if there is none."""
    port = int(url.rpartition(":")[2])
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    found = (c.pid for c in listening if c.laddr and c.laddr.port == port)
    return next(found, 0) or 0


@pytest.fixture(params=["fake", pytest.param("local", marks=pytest.mark.slow)])
def backing(request: pytest.FixtureRequest, tmp_path: Path, loopback: None) -> Iterator[Backing]:
    if request.param == "fake":
        yield FakeBacking(tmp_path)
        return
    version = a_real_version(tmp_path / "source")
    processes = LocalProcesses(tmp_path / "replicas", ServingTokens("token"), grace_s=GRACE_S, zygote_idle_s=60.0)
    backing = Backing(tmp_path, processes, version, tmp_path / "source")
    yield backing
    wait_until(backing.workloads.stop_all, 60)
    processes.close()


def test_a_version_becomes_ready_and_stays_so(backing: Backing) -> None:
    first = backing.ensure()
    assert (first.urls, first.ready) == ((), False)
    assert backing.workloads.running() == {backing.key}
    ready = backing.ready()
    assert (len(ready.urls), ready.failures, ready.starting) == (1, 0, 0)
    assert backing.ensure().urls == ready.urls
    assert backing.workloads.poll() == frozenset()
    assert [instance.state for instance in backing.workloads.instances()] == ["ready"]


def test_more_and_fewer_replicas(backing: Backing) -> None:
    one = backing.ready(1)
    two = backing.ready(2)
    assert set(one.urls) < set(two.urls)
    backing.until(lambda: backing.ensure(1).ready and len(backing.workloads.instances()) == 1)
    [left] = backing.ensure(1).urls
    assert left in two.urls
    assert backing.answers(left)


def test_a_drained_version_answers_during_the_grace_and_is_gone_afterwards(backing: Backing) -> None:
    [url] = backing.ready().urls
    assert not backing.workloads.drain(backing.key, 2.0)
    assert backing.answers(url)
    backing.until(lambda: backing.workloads.drain(backing.key, 2.0))
    assert backing.workloads.running() == frozenset()
    assert backing.exited(url)


def test_a_draining_version_that_is_wanted_again_keeps_its_address(backing: Backing) -> None:
    before = backing.ready()
    assert not backing.workloads.drain(backing.key, 60.0)
    assert backing.ready().urls == before.urls
    assert [instance.state for instance in backing.workloads.instances()] == ["ready"]


def test_a_stopping_replica_is_not_acquired_again(backing: Backing) -> None:
    [before] = backing.ready().urls
    backing.hang(before)
    assert not backing.workloads.drain(backing.key, 0.0)
    [after] = backing.ready().urls
    assert after != before
    backing.until(lambda: backing.ensure().ready and backing.exited(before))


def test_a_killed_replica_is_reported_and_started_again(backing: Backing) -> None:
    [before] = backing.ready().urls
    backing.kill(before)
    backing.until(lambda: backing.key.model in backing.workloads.poll())
    assert backing.until(lambda: backing.ensure().failures) == 1
    [after] = backing.ready().urls
    assert backing.answers(after)
    assert "its process exited" in backing.ensure().last_words


def test_a_replica_that_hangs_gets_no_traffic_is_replaced_and_killed(backing: Backing) -> None:
    [before] = backing.ready().urls
    backing.hang(before)
    backing.until(lambda: not backing.ensure().urls, 30)
    assert not backing.exited(before)
    [after] = backing.ready().urls
    assert after != before
    backing.until(lambda: backing.ensure().ready and backing.exited(before), 30)
    backing.until(lambda: backing.ensure().ready and len(backing.workloads.instances()) == 1)


def test_a_hung_replica_gets_no_new_request_within_two_seconds(tmp_path: Path) -> None:
    """On the fake clock: the probes of a process that answers nothing take no time, so their limit is added."""
    backing = FakeBacking(tmp_path)
    [url] = backing.ready().urls
    backing.until(lambda: backing.clock.advance(0.01) and backing.workloads.poll() == frozenset())
    backing.hang(url)
    since = backing.clock()
    while backing.workloads.observe(backing.key, 1).urls:
        backing.clock.advance(0.01)
        backing.workloads.poll()
    noticed_s = (backing.clock() - since).total_seconds()
    assert noticed_s + 2 * PROBE_TIMEOUT_S <= 2.0
    assert IDLE_S <= 0.25, "the interval between two looks adds to it"


def test_another_replica_serves_before_the_hung_one_is_ended(backing: Backing) -> None:
    [before] = backing.ready().urls
    backing.hang(before)
    backing.until(lambda: not backing.ensure().urls, 30)
    [after] = backing.ready().urls
    assert after != before
    assert not backing.exited(before)
    assert (backing.ensure().failures, backing.ensure().last_words) == (1, "4 consecutive probes failed")


def test_a_replica_that_was_only_busy_stays_and_the_other_one_goes(backing: Backing) -> None:
    [before] = backing.ready().urls
    backing.hang(before)
    backing.until(lambda: bool(backing.ensure()) and len(backing.workloads.instances()) == 2, 30)
    backing.recover(before)
    backing.until(lambda: backing.ensure().ready and len(backing.workloads.instances()) == 1)
    assert backing.workloads.instances()[0].state == "ready"


def test_probes_of_an_idle_replica_write_no_files(backing: Backing) -> None:
    backing.ready()
    backing.until(lambda: backing.workloads.poll() == frozenset())
    [record] = (backing.folder / "replicas").glob("*.json")
    before = record.stat().st_mtime_ns
    until = backing.now() + timedelta(seconds=3)
    backing.until(lambda: backing.workloads.poll() == frozenset() and backing.now() > until)
    assert record.stat().st_mtime_ns == before


def test_a_drained_replica_that_ignores_sigterm_is_killed(backing: Backing) -> None:
    [url] = backing.ready().urls
    backing.hang(url)
    assert not backing.workloads.drain(backing.key, 0.0)
    backing.until(lambda: backing.workloads.drain(backing.key, 0.0), 30)
    assert backing.exited(url)


def test_a_version_that_cannot_start_reports_its_failures_with_the_end_of_its_log(backing: Backing) -> None:
    backing.break_files()
    backing.until(lambda: backing.ensure().failures >= 2)
    assert "model." in backing.ensure().last_words
    assert not backing.ensure().ready


def test_a_successor_adopts_what_runs(backing: Backing) -> None:
    [url] = backing.ready().urls
    backing.workloads = backing.successor()
    assert backing.workloads.adopt() == (1, 0)
    backing.until(lambda: backing.ensure().ready)
    assert backing.answers(url) or backing.ensure().urls


def test_a_successor_stops_replicas_without_a_record(backing: Backing) -> None:
    [url] = backing.ready().urls
    for record in (backing.folder / "replicas").glob("*.json"):
        record.unlink()
    backing.workloads = backing.successor()
    assert backing.workloads.adopt() == (0, 1)
    backing.until(lambda: backing.workloads.stop_all())
    assert backing.exited(url)


def test_a_damaged_record_affects_only_its_own_replica(backing: Backing) -> None:
    backing.ready()
    (backing.folder / "replicas" / "damaged.json").write_text("{")
    backing.workloads = backing.successor()
    assert backing.workloads.adopt() == (1, 0)
