"""Files and rows that are no longer needed are removed; versions that serve, served lately or are under way stay."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from modelyard_contracts import RolloutAction, RolloutStrategy
from modelyard_contracts.manifest import ManifestFile
from modelyard_deployer.clients.registry import HttpRegistry
from modelyard_deployer.workloads.downloads import Downloads
from modelyard_deployer.workloads.housekeeping import Housekeeping
from modelyard_runtime import retention
from modelyard_runtime.inbox import claims_kept, forget_claims

from .conftest import VERSIONS, Inline, World, a_version
from .test_adaptive import given_vote


def housekeeping(world: World, **limits: Any) -> Housekeeping:
    given = {"rollback_versions": 1, "model_folders": 0, **limits}
    return Housekeeping(world.store, world.workloads, world.downloads, world.clock, world.folder / "blobs", **given)


def folder_of(world: World, version: int) -> Path:
    return world.folder / "models" / a_version(version).digest.removeprefix("sha256:")


def kept(world: World) -> set[int]:
    return {version for version in VERSIONS if folder_of(world, version).is_dir()}


def cold(world: World) -> None:
    """Long enough that nothing but the champion has replicas."""
    world.settle(4_000.0)
    world.settle(6.0)


def test_folders_of_versions_that_neither_serve_nor_are_a_roll_backs_target_go(world: World) -> None:
    for version in (1, 2, 3, 4):
        world.given_serving(version)
    cold(world)
    housekeeping(world, rollback_versions=2).tidy()
    assert kept(world) == {2, 3, 4}
    housekeeping(world).tidy()
    assert kept(world) == {3, 4}


def test_folders_of_members_stay(world: World) -> None:
    given_vote(world, 2, 3, 4)
    cold(world)
    housekeeping(world).tidy()
    assert kept(world) == {1, 2, 3, 4}


def test_the_newest_of_the_others_stay(world: World) -> None:
    for version in (1, 2, 3, 4):
        world.given_serving(version)
    cold(world)
    for version in (1, 2):
        os.utime(folder_of(world, version), (version, version))
    housekeeping(world, model_folders=1).tidy()
    assert kept(world) == {2, 3, 4}


def test_a_version_with_replicas_is_kept_even_if_it_is_no_longer_wanted(world: World) -> None:
    rollout = world.given_canary(2)
    world.request(RolloutAction.ABORT)
    world.settle()
    assert world.rollout(rollout.id).state.final
    assert world.processes.serving() == {1, 2}
    housekeeping(world).tidy()
    assert kept(world) == {1, 2}
    world.settle(6.0)
    world.settle()
    housekeeping(world).tidy()
    assert kept(world) == {1}


def test_a_version_that_is_rolled_out_or_waits_for_its_turn_keeps_its_folder(world: World) -> None:
    for version in (1, 2, 3):
        world.given_serving(version)
    cold(world)
    world.request(RolloutAction.START, 4, strategy=RolloutStrategy.FULL)
    world.processes.mute = {4}
    world.settle()
    world.request(RolloutAction.START, 1)
    housekeeping(world).tidy()
    assert kept(world) == {1, 2, 3, 4}


def test_a_version_whose_folder_is_gone_is_fetched_again(world: World) -> None:
    for version in (1, 2, 3):
        world.given_serving(version)
    cold(world)
    housekeeping(world).tidy()
    assert kept(world) == {2, 3}
    world.given_serving(1)
    assert kept(world) == {1, 2, 3}
    assert world.weights() == {1: 1.0}


def test_a_crash_between_two_steps_leaves_nothing_half_and_the_next_round_finishes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 2, 3, 4):
        world.given_serving(version)
    cold(world)
    (folder_of(world, 1) / "model.bin").write_bytes(b"x")

    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(retention.shutil, "rmtree", killed)  # type: ignore[attr-defined]
        housekeeping(world).tidy()
    world.restart()
    housekeeping(world).tidy()
    assert kept(world) == {3, 4}
    assert len(list((world.folder / "models").iterdir())) == 2


def test_a_folder_that_is_being_fetched_is_left_alone(tmp_path: Path, world: World) -> None:
    arriving, may_go_on = Event(), Event()

    class Slow(HttpRegistry):
        def download(self, file: ManifestFile, folder: Path) -> None:
            arriving.set()
            may_go_on.wait(30)

    pool = ThreadPoolExecutor(1)
    downloads = Downloads(Slow(world.registry_client), tmp_path / "slow", world.clock, lambda _: None, pool)
    version = a_version(1)
    assert downloads.folder(version) is None
    assert arriving.wait(30)
    assert downloads.prune(set, 0) == []
    may_go_on.set()
    pool.shutdown(wait=True)
    folder = downloads.folder(version)
    assert folder is not None
    assert folder.is_dir()


def test_a_folder_that_is_asked_for_while_folders_are_removed_is_there_afterwards(tmp_path: Path, world: World) -> None:
    """The reconciler records that it needs a version, then asks for its folder; housekeeping runs in between."""
    version = a_version(1)
    downloads = Downloads(
        HttpRegistry(world.registry_client), tmp_path / "models", world.clock, lambda _: None, Inline()
    )
    downloads.folder(version)
    assert downloads.folder(version) is not None
    asked: list[Future[Path | None]] = []
    with ThreadPoolExecutor(1) as reconciler:

        def nothing_is_in_use() -> set[str]:
            asked.append(reconciler.submit(downloads.folder, version))
            return set()

        assert len(downloads.prune(nothing_is_in_use, 0)) == 1
        assert asked[0].result(30) is None
    folder = downloads.folder(version)
    assert folder is not None
    assert folder.is_dir()


def test_unused_downloads_and_stopped_routers_are_forgotten(world: World) -> None:
    world.given_serving(1)
    world.routers_apply("router-1", "gone", "quiet")
    world.request(RolloutAction.START, 2, strategy=RolloutStrategy.FULL)
    world.settle()
    world.routers_apply("router-1", "quiet")
    world.settle()
    used, unused = world.folder / "blobs" / "used", world.folder / "blobs" / "unused"
    for file in (used, unused):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    now = world.clock().timestamp()
    os.utime(used, (now, now))
    os.utime(unused, (now - 2, now - 2))
    world.clock.advance(timedelta(days=7).total_seconds() - 1)
    housekeeping(world).tidy()
    assert (used.exists(), unused.exists()) == (True, False)
    assert routers(world) == {"router-1", "gone", "quiet"}

    world.clock.advance(timedelta(days=30).total_seconds())
    housekeeping(world).tidy()
    assert routers(world) == {"router-1", "quiet"}


def routers(world: World) -> set[str]:
    with world.store.read() as records:
        return {ack.router_id for ack in records.acknowledgements.of_route(world.route().name)}


def test_an_approval_that_comes_again_after_its_claim_was_forgotten_does_nothing(world: World) -> None:
    """The compacted topic of the registry repeats a model's last event however old it is."""
    world.given_serving(1)
    event = world.approve(2)
    world.settle()
    world.clock.advance(timedelta(days=400).total_seconds())
    assert forget_claims(world.database, claims_kept()) > 0
    world.deliver(event)
    world.settle()
    assert [rollout.to_version for rollout in world.rollouts()] == [1, 2]
