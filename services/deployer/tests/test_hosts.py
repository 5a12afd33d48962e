"""Replicas of several versions in one process: they come and go, hang, and die, and the others keep answering."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from modelyard_contracts.manifest import ManifestFile
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import Resources, VersionKey, Workload
from modelyard_deployer.workloads.downloads import Downloads
from modelyard_deployer.workloads.lifecycle import ALONE_S, HEALTHY_S, STUCK_S, Lifecycle
from modelyard_deployer.workloads.local import LocalWorkloads
from modelyard_deployer.workloads.processes import LocalProcesses
from modelyard_deployer.workloads.records import ReplicaRecords
from modelyard_deployer.workloads.tokens import ServingTokens
from modelyard_devstack.testing import wait_until
from modelyard_runtime.clock import FakeClock, system_clock

from .conftest import FakeProcesses, Inline, a_version
from .test_processes import a_real_version
from .test_workloads import LocalFiles

SHARED, APART = Resources(shared=True), Resources()


class Hosts:
    """Versions that may share, on fake processes and a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, FakeClock()
        self.fake = FakeProcesses(self.clock, 1.0)
        self.apart: set[int] = set()
        self.seen: dict[int, list[tuple[str, ...]]] = {}
        self.restart()

    def restart(self) -> None:
        downloads = Downloads(LocalFiles(None), self.folder / "models", self.clock, lambda _: None, Inline())
        self.records = ReplicaRecords(self.folder / "replicas")
        self.workloads = LocalWorkloads(
            Lifecycle(self.fake, downloads, self.records, self.clock), drain_s=0.5, pool=Inline()
        )
        self.workloads.adopt()

    def step(self, *versions: int, replicas: int = 1, seconds: float = 0.1) -> dict[int, Workload]:
        """One round: the named versions are wanted, all others drain."""
        self.clock.advance(seconds)
        self.workloads.poll()
        found = {
            number: self.workloads.ensure(a_version(number), replicas, APART if number in self.apart else SHARED)
            for number in versions
        }
        for key in self.workloads.running() - {a_version(number).key for number in versions}:
            self.workloads.drain(key, 0.5)
        for number, workload in found.items():
            self.seen.setdefault(number, []).append(workload.urls)
        return found

    def until(self, condition: Callable[[], object], *versions: int, seconds: float = 120.0, replicas: int = 1) -> None:
        for _ in range(int(seconds / 0.1)):
            self.step(*versions, replicas=replicas)
            if condition():
                return
        raise AssertionError("the condition did not become true in time")

    def ready(self, *versions: int, replicas: int = 1) -> dict[int, Workload]:
        self.until(
            lambda: all(one.ready for one in self.step(*versions, replicas=replicas).values()),
            *versions,
            replicas=replicas,
        )
        return self.step(*versions, replicas=replicas)

    def urls(self, *versions: int) -> set[str]:
        return {url for number in versions for url in self.workloads.observe(a_version(number).key, 1).urls}


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_versions_that_may_share_have_one_process_and_one_address(hosts: Hosts) -> None:
    found = hosts.ready(1, 2, 3)
    assert hosts.fake.together() == [{1, 2, 3}]
    assert len({workload.urls for workload in found.values()}) == 1
    assert len(hosts.fake.running) == 1


def test_each_replica_shares_with_one_replica_of_every_other_version(hosts: Hosts) -> None:
    found = hosts.ready(1, 2, replicas=2)
    assert hosts.fake.together() == [{1, 2}, {1, 2}]
    assert found[1].urls == found[2].urls
    assert len(found[1].urls) == 2


def test_a_version_joins_and_leaves_without_a_restart_of_the_others(hosts: Hosts) -> None:
    hosts.ready(1, 2)
    [process] = hosts.fake.running.values()
    hosts.seen.clear()
    hosts.ready(1, 2, 3)
    hosts.until(lambda: hosts.fake.together() == [{1, 3}], 1, 3)
    assert list(hosts.fake.running.values()) == [process]
    assert all(hosts.seen[1]), "version 1 was always ready"
    assert hosts.workloads.running() == {a_version(1).key, a_version(3).key}


def test_the_process_ends_with_its_last_version(hosts: Hosts) -> None:
    hosts.ready(1, 2)
    hosts.until(lambda: not hosts.workloads.running())
    assert hosts.fake.running == {}


def test_a_version_that_cannot_be_loaded_fails_alone(hosts: Hosts) -> None:
    hosts.ready(1, 2)
    hosts.fake.unstartable = {3}
    hosts.seen.clear()
    hosts.until(lambda: hosts.step(1, 2, 3)[3].failures >= 3, 1, 2, 3)
    assert "cannot load model.bin" in hosts.step(1, 2, 3)[3].last_words
    assert all(hosts.seen[1]) and all(hosts.seen[2])
    assert hosts.fake.together() == [{1, 2}], "after two failures it is tried in a process of its own"


def test_a_version_that_cannot_be_loaded_leaves_no_process_behind(hosts: Hosts) -> None:
    hosts.fake.unstartable = {1}
    hosts.until(lambda: hosts.step(1)[1].failures >= 3, 1)
    hosts.until(lambda: not hosts.workloads.running())
    assert hosts.fake.running == {}


def test_a_killed_process_comes_back_with_all_of_its_versions(hosts: Hosts) -> None:
    hosts.ready(1, 2, 3)
    hosts.fake.kill(2)
    hosts.until(lambda: not hosts.urls(1, 2, 3), 1, 2, 3)
    found = hosts.ready(1, 2, 3)
    assert hosts.fake.together() == [{1, 2, 3}]
    assert {workload.failures for workload in found.values()} == {1}


def test_versions_whose_process_died_twice_get_one_each_and_share_again_after_a_while(hosts: Hosts) -> None:
    hosts.ready(1, 2)
    for _ in range(2):
        hosts.fake.kill(1)
        hosts.until(lambda: not hosts.urls(1, 2), 1, 2)
        hosts.ready(1, 2)
    assert hosts.fake.together() == []
    assert len(hosts.fake.running) == 2
    hosts.fake.kill(1)
    hosts.until(lambda: not hosts.urls(1), 1, 2)
    assert hosts.urls(2), "the other one goes on"
    hosts.ready(1, 2)
    hosts.seen.clear()
    hosts.until(lambda: hosts.fake.together() == [{1, 2}] and len(hosts.fake.running) == 1, 1, 2, seconds=ALONE_S + 60)
    assert all(hosts.seen[1]) and all(hosts.seen[2]), "they moved one after the other, new before old"


def test_a_version_that_hangs_is_replaced_in_a_process_of_its_own_and_the_others_leave_it(hosts: Hosts) -> None:
    hosts.ready(1, 2, 3)
    [old] = hosts.fake.running.values()
    hosts.fake.hung_members = {3}
    hosts.seen.clear()
    hosts.until(lambda: not hosts.urls(3), 1, 2, 3, seconds=5)
    hosts.until(lambda: len(hosts.fake.running) == 2, 1, 2, 3, seconds=20)
    hosts.until(lambda: hosts.urls(3), 1, 2, 3, seconds=20)  # the fake's version hangs in a shared process only
    hosts.until(lambda: old not in hosts.fake.running.values(), 1, 2, 3, seconds=60 + STUCK_S)
    hosts.ready(1, 2, 3)
    assert hosts.fake.together() == [{1, 2}]
    assert all(hosts.seen[1]) and all(hosts.seen[2]), "they moved to another process before the old one ended"


def test_a_version_that_hangs_while_it_leaves_does_not_keep_its_process(hosts: Hosts) -> None:
    hosts.ready(1, 2, 3)
    [old] = hosts.fake.running.values()
    hosts.fake.hung_members = {3}
    hosts.seen.clear()
    hosts.until(lambda: old not in hosts.fake.running.values(), 1, 2, seconds=30 + STUCK_S)
    assert hosts.fake.together() == [{1, 2}]
    assert all(hosts.seen[1]) and all(hosts.seen[2])


def test_a_process_that_hangs_is_replaced_as_a_whole(hosts: Hosts) -> None:
    [url] = hosts.ready(1, 2)[1].urls
    hosts.fake.hang(url)
    hosts.until(lambda: not hosts.urls(1, 2), 1, 2, seconds=5)
    hosts.until(lambda: hosts.urls(1) and hosts.urls(1) == hosts.urls(2), 1, 2, seconds=20)
    assert url not in hosts.urls(1, 2)
    hosts.until(lambda: hosts.fake.together() == [{1, 2}], 1, 2, seconds=120)


def test_a_version_that_must_not_share_moves_out_new_before_old(hosts: Hosts) -> None:
    hosts.ready(1, 2)
    hosts.apart, hosts.seen = {2}, {}
    hosts.until(lambda: hosts.fake.together() == [{1}] and len(hosts.fake.running) == 2, 1, 2)
    assert all(hosts.seen[1]) and all(hosts.seen[2])


def test_replicas_of_an_earlier_release_move_into_one_process_new_before_old(hosts: Hosts) -> None:
    hosts.apart = {1, 2}
    hosts.ready(1, 2)
    assert (hosts.fake.together(), len(hosts.fake.running)) == ([], 2)
    hosts.restart()
    hosts.apart, hosts.seen = set(), {}
    hosts.until(lambda: hosts.fake.together() == [{1, 2}] and len(hosts.fake.running) == 1, 1, 2)
    assert all(hosts.seen[1]) and all(hosts.seen[2])


def test_the_next_deployer_adopts_a_shared_process(hosts: Hosts) -> None:
    before = hosts.ready(1, 2)
    hosts.restart()
    assert hosts.ready(1, 2)[1].urls == before[1].urls
    assert len(hosts.fake.running) == 1
    hosts.fake.kill(1)
    hosts.restart()
    hosts.ready(1, 2)
    assert hosts.fake.together() == [{1, 2}]
    hosts.fake.kill(1)
    hosts.apart = {1, 2}
    hosts.restart()
    hosts.ready(1, 2)
    assert (hosts.fake.together(), len(hosts.fake.running)) == ([], 2)
    hosts.ready(1, 2)


def test_failures_are_forgotten_after_a_healthy_minute(hosts: Hosts) -> None:
    hosts.ready(1, 2)
    hosts.fake.kill(1)
    hosts.until(lambda: not hosts.urls(1, 2), 1, 2)
    hosts.ready(1, 2)
    hosts.until(lambda: not hosts.step(1, 2)[1].failures, 1, 2, seconds=HEALTHY_S + 10)
    hosts.fake.kill(1)
    hosts.until(lambda: not hosts.urls(1, 2), 1, 2)
    hosts.ready(1, 2)
    assert hosts.fake.together() == [{1, 2}]


class ManyFiles:
    """A registry whose download is the folder of each version."""

    def __init__(self, sources: dict[str, Path]) -> None:
        self.sources = sources

    def download(self, file: ManifestFile, folder: Path) -> None:
        for path in self.sources[file.digest].iterdir():
            (folder / path.name).write_bytes(path.read_bytes())


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[LocalProcesses]:
    made = LocalProcesses(tmp_path / "replicas", ServingTokens("token"), grace_s=1.0)
    yield made
    made.close()


@pytest.mark.slow
def test_real_versions_share_a_process_answer_together_and_come_back_after_a_kill(
    tmp_path: Path, processes: LocalProcesses, loopback: None
) -> None:
    first = a_real_version(tmp_path / "source")
    manifest = first.file.manifest.model_copy(update={"description": "the second one"})
    (tmp_path / "other").mkdir()
    for path in (tmp_path / "source").iterdir():
        (tmp_path / "other" / path.name).write_bytes(path.read_bytes())
    file = ManifestFile.write(manifest)
    (tmp_path / "other" / "manifest.json").write_bytes(file.data)
    versions = [first, Version("ages", 8, "approved", file)]
    files = ManyFiles({first.digest: tmp_path / "source", file.digest: tmp_path / "other"})
    downloads = Downloads(files, tmp_path / "models", system_clock, lambda _: None, Inline())  # type: ignore[arg-type]
    records = ReplicaRecords(tmp_path / "replicas")
    workloads = LocalWorkloads(Lifecycle(processes, downloads, records, system_clock), drain_s=0.0, pool=Inline())

    def ready(*wanted: Version) -> set[str]:
        workloads.poll()
        found = [workloads.ensure(version, 1, SHARED) for version in wanted]
        return {url for one in found for url in one.urls} if all(one.ready for one in found) else set()

    def ask(url: str, names: str) -> httpx.Response:
        body = {"inputs": [_tensor("num", "FP64", 50.0), _tensor("cat", "BYTES", "red")]}
        headers = {"authorization": "Bearer token"}
        return httpx.post(f"{url}/v2/models/ages/versions/{names}/infer", json=body, headers=headers)

    try:
        [url] = wait_until(lambda: ready(*versions), 90)
        members = ask(url, "7,8").json()["members"]
        assert [(one["status"], one["answer"]["parameters"]["digest"]) for one in members] == [
            (200, version.digest) for version in versions
        ]
        statuses: set[int] = set()
        stop = threading.Event()

        def keep_calling() -> None:
            while not stop.is_set():
                statuses.add(ask(url, "7").status_code)

        caller = threading.Thread(target=keep_calling)
        caller.start()
        wait_until(lambda: workloads.drain(VersionKey("ages", 8), 0.0), 30)
        assert [one["status"] for one in ask(url, "7,8").json()["members"]] == [200, 404]
        assert wait_until(lambda: ready(*versions), 30) == {url}
        stop.set()
        caller.join()
        assert statuses == {200}, "version 7 answered while version 8 left and came back"
        [process] = {replica.process for replica in records.all()}
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not ready(*versions), 30)
        [after] = wait_until(lambda: ready(*versions), 90)
        assert [one["status"] for one in ask(after, "7,8").json()["members"]] == [200, 200]
    finally:
        wait_until(workloads.stop_all, 60)


def _tensor(name: str, datatype: str, value: object) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": [1, 1], "data": [value]}
