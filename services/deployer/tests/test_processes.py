"""Replicas as real processes: the model server on a real artifact, killed, found again, drained."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import psutil
import pytest

from modelyard_contracts.keyring import KeyRing, KeyRingFile
from modelyard_contracts.manifest import (
    ManifestFile,
    ModelManifest,
    TrainingLineage,
    signed,
)
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import Resources
from modelyard_deployer.workloads.processes import HOME_VARIABLE, ID_VARIABLE, MAX_LOG_BYTES, LocalProcesses
from modelyard_deployer.workloads.replica import Process
from modelyard_deployer.workloads.tokens import ServingTokens
from modelyard_devstack.testing import Process as Server
from modelyard_devstack.testing import wait_until

TOKENS = ServingTokens("token")
SCRIPTS = Path(__file__).parent / "scripts"

SCHEMA = Signature(
    columns=(Column(name="age"), Column(name="colour", type=ColumnType.CATEGORY)),
    output=Output(task=Task.BINARY, classes=("no", "yes")),
)


def a_real_version(folder: Path) -> Version:
    """A logistic regression, saved as its flavour saves it."""
    from sklearn.linear_model import LogisticRegression

    from modelyard_flavours import Encoding, FittedSklearn, environment, save_model

    rng = np.random.default_rng(1)
    numeric = rng.uniform(20, 60, (100, 1))
    categorical = rng.choice(np.array(["red", "blue"], dtype=object), (100, 1))
    encoding = Encoding.learn(numeric, categorical, SCHEMA.classes)
    estimator = LogisticRegression().fit(encoding.matrix(numeric, categorical), (numeric[:, 0] > 40).astype(int))
    files = save_model("sklearn", FittedSklearn(estimator, encoding), folder)
    manifest = ModelManifest(
        model="ages",
        flavour="sklearn",
        files=files,
        **signed(SCHEMA),
        training=TrainingLineage(recipe="test"),
        environment=environment("sklearn"),
    )
    file = ManifestFile.write(manifest)
    (folder / "manifest.json").write_bytes(file.data)
    return Version("ages", 7, "approved", file)


@pytest.mark.slow
@pytest.mark.parametrize("idle_s", [60.0, 0.0], ids=["forked", "plain"])
def test_the_life_of_a_real_replica(tmp_path: Path, loopback: None, idle_s: float) -> None:
    version = a_real_version(tmp_path / "model")
    runtime = LocalProcesses(tmp_path / "replicas", TOKENS, zygote_idle_s=idle_s)
    replica = uuid4()
    process = runtime.start(replica, tmp_path / "model", version, Resources())
    try:
        url = wait_until(lambda: runtime.address(replica), 90, what=runtime.last_words(replica))
        assert wait_until(lambda: runtime.answers(url), 30)
        assert runtime.warm_up(url, version) is None

        successor = LocalProcesses(tmp_path / "replicas", TOKENS)
        found = successor.find()
        assert list(found) == [replica]
        assert successor.alive(found[replica])
        assert successor.address(replica) == url
        assert LocalProcesses(tmp_path / "others", TOKENS).find() == {}

        wait_until(lambda: successor.stop(found[replica]), 30)
        assert not runtime.alive(process)
    finally:
        if psutil.pid_exists(process.pid):
            os.kill(process.pid, signal.SIGKILL)
        runtime.close()


@pytest.mark.slow
def test_a_serving_token_is_rotated_while_a_replica_serves(tmp_path: Path, loopback: None) -> None:
    """Added, made current, the old one dropped: the replica reads the file again and accepts what it holds."""
    version = a_real_version(tmp_path / "model")
    file, old = tmp_path / "serving.keys", KeyRing.fresh()
    file.write_text(old.text())
    runtime = LocalProcesses(tmp_path / "replicas", ServingTokens("", file, KeyRingFile(file)))
    replica = uuid4()
    process = runtime.start(replica, tmp_path / "model", version, Resources())
    try:
        url = wait_until(lambda: runtime.address(replica), 90)
        wait_until(lambda: runtime.answers(url) and runtime.warm_up(url, version) is None, 30)
        new = old.with_new()
        for ring in (new, new.with_current("2"), new.with_current("2").only(1)):
            file.write_text(ring.text())
            wait_until(lambda: runtime.warm_up(url, version) is None, 30)
        wait_until(lambda: _status(url, old.current.value) == 401, 30)
        assert _status(url, new.with_current("2").current.value) != 401
    finally:
        wait_until(lambda: runtime.stop(process), 30)
        runtime.close()


def _status(url: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{url}/v2/models/ages", headers=headers, trust_env=False).status_code


@pytest.mark.slow
def test_replicas_outlive_a_killed_deployer_and_its_zygote_and_are_found_again(tmp_path: Path, loopback: None) -> None:
    version = a_real_version(tmp_path / "model")
    (tmp_path / "manifest.json").write_bytes(version.file.data)
    deployer = Server([sys.executable, str(SCRIPTS / "deploys.py"), str(tmp_path), "2"]).start()
    started = json.loads(str(deployer.address))
    zygote = psutil.Process(psutil.Process(started["pids"][0]).ppid())
    deployer.kill()
    wait_until(lambda: not zygote.is_running(), 30)

    successor = LocalProcesses(tmp_path / "replicas", TOKENS)
    try:
        found = successor.find()
        assert sorted(str(one) for one in found) == sorted(started["replicas"])
        assert sorted(process.pid for process in found.values()) == sorted(started["pids"])
        for replica, process in found.items():
            assert successor.alive(process)
            url = wait_until(partial(successor.address, replica), 90, what=successor.last_words(replica))
            assert wait_until(partial(successor.answers, url), 30)
        for process in found.values():
            wait_until(partial(successor.stop, process), 30)
        assert successor.find() == {}
    finally:
        for pid in filter(psutil.pid_exists, started["pids"]):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_replica_killed_is_seen_as_dead_with_and_without_its_zygote(tmp_path: Path) -> None:
    version = a_real_version(tmp_path / "model")
    runtime = LocalProcesses(tmp_path / "replicas", TOKENS, zygote_idle_s=60.0)
    first, second = (runtime.start(uuid4(), tmp_path / "model", version, Resources()) for _ in range(2))
    assert runtime.alive(first) and runtime.alive(second)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not runtime.alive(first), 30)
    runtime.close()
    assert runtime.alive(second)
    os.kill(second.pid, signal.SIGKILL)
    wait_until(lambda: not runtime.alive(second), 30)


@pytest.mark.process
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_replicas_are_distinguished_from_all_other_processes(
    tmp_path: Path, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their log on Linux, also when it was deleted; by their environment elsewhere."""
    if sys.platform != "linux" and system == "linux":
        pytest.skip("/proc is Linux's")
    home, elsewhere = tmp_path / "replicas", tmp_path / "elsewhere"
    runtime = LocalProcesses(home, TOKENS)
    elsewhere.mkdir()
    mine, deleted = uuid4(), uuid4()
    started = {}
    for folder, name in (
        (home, f"{mine}.log"),
        (home, f"{deleted}.log"),
        (home, "notes.log"),
        (elsewhere, f"{mine}.log"),
    ):
        variables = {HOME_VARIABLE: str(folder.resolve()), ID_VARIABLE: Path(name).stem}
        with (folder / name).open("ab") as log:
            started[folder, name] = subprocess.Popen(["sleep", "60"], stderr=log, env={**os.environ, **variables})
    (home / f"{deleted}.log").unlink()
    monkeypatch.setattr(sys, "platform", system)
    try:
        pids = {replica: process.pid for replica, process in runtime.find().items()}
        assert pids == {one: started[home, f"{one}.log"].pid for one in (mine, deleted)}
    finally:
        for child in started.values():
            child.kill()
            child.wait()
    assert runtime.find() == {}


@pytest.mark.slow
def test_an_artifact_that_cannot_be_loaded_ends_and_says_why(tmp_path: Path) -> None:
    version = a_real_version(tmp_path / "model")
    (tmp_path / "model" / "model.skops").write_bytes(b"altered")
    runtime = LocalProcesses(tmp_path / "replicas", TOKENS)
    replica = uuid4()
    process = runtime.start(replica, tmp_path / "model", version, Resources())
    wait_until(lambda: not runtime.alive(process), 90)
    assert "model.skops" in runtime.last_words(replica)
    assert runtime.address(replica) is None
    runtime.close()


def test_a_reused_pid_is_not_taken_for_the_replica(tmp_path: Path) -> None:
    runtime = LocalProcesses(tmp_path, TOKENS)
    own = psutil.Process()
    assert runtime.alive(Process(own.pid, own.create_time()))
    assert not runtime.alive(Process(own.pid, own.create_time() - 100))


@pytest.mark.process
def test_a_replica_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    runtime = LocalProcesses(tmp_path, TOKENS, grace_s=0.2)
    process = Process(stubborn.pid, psutil.Process(stubborn.pid).create_time())
    assert runtime.stop(process) is False
    wait_until(lambda: stubborn.poll() is not None or runtime.stop(process), 20)
    assert stubborn.wait() == -signal.SIGKILL
    stubborn.stdout.close()


def test_logs_stay_within_bounds_and_those_of_gone_replicas_go(tmp_path: Path) -> None:
    runtime = LocalProcesses(tmp_path, TOKENS)
    mine, gone = uuid4(), uuid4()
    (tmp_path / f"{gone}.log").write_text("old")
    with (tmp_path / f"{mine}.log").open("ab") as log:
        log.write(b"x" * MAX_LOG_BYTES + b"the end\n")
        log.flush()
        runtime.tidy({mine})
        log.write(b"after\n")
    assert (tmp_path / f"{mine}.log").read_bytes() == b"after\n"
    assert (tmp_path / f"{mine}.old").read_bytes().endswith(b"the end\n")
    assert not (tmp_path / f"{gone}.log").exists()
