"""Unused blobs are collected, needed ones never; what is missing or damaged is found."""

import os
import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from modelyard import ApiError
from modelyard_contracts.manifest import digest_of
from modelyard_registry.testing import InProcessRegistry
from modelyard_registry.usecases.garbage import collect

from .conftest import World, manifest_of

HOURS = timedelta(hours=1)


def given_old_blob(world: World, data: bytes, hours: float) -> str:
    digest = world.client.put_blob(data)
    make_old(world, world.blob_file(digest), hours)
    return digest


def make_old(world: World, file: Path, hours: float) -> None:
    at = (world.clock() - hours * HOURS).timestamp()
    os.utime(file, (at, at))


def aside(world: World, digest: str) -> Path:
    return world.blobs_folder / "trash" / world.blob_file(digest).relative_to(world.blobs_folder)


def given_version(world: World, data: bytes) -> None:
    if not world.client.models():
        world.client.create_model("elec")
    world.client.put_blob(data)
    made = world.client.create_version(manifest_of(weights=data), idempotency_key=digest_of(data))
    world.client.finalize_version("elec", made.version)


def test_a_report_changes_nothing(on_sqlite: World) -> None:
    digest = given_old_blob(on_sqlite, b"not needed by any", hours=30)
    found = on_sqlite.client.collect_blobs()
    assert (found.applied, found.unused.count, found.unused.size_bytes) == (False, 1, 17)
    assert [blob.digest for blob in found.examples] == [digest]
    assert on_sqlite.client.has_blob(digest)


def test_an_unused_blob_is_put_aside_and_deleted_a_day_later(on_sqlite: World) -> None:
    digest = given_old_blob(on_sqlite, b"x", hours=30)
    assert on_sqlite.client.collect_blobs(apply=True).unused.count == 1
    assert not on_sqlite.client.has_blob(digest)
    make_old(on_sqlite, aside(on_sqlite, digest), hours=23)
    assert on_sqlite.client.collect_blobs(apply=True).deleted.count == 0
    make_old(on_sqlite, aside(on_sqlite, digest), hours=25)
    assert on_sqlite.client.collect_blobs(apply=True).deleted.count == 1
    assert not aside(on_sqlite, digest).exists()


def test_a_young_blob_waits_for_its_version(on_sqlite: World) -> None:
    given_old_blob(on_sqlite, b"x", hours=23)
    assert on_sqlite.client.collect_blobs().unused.count == 0
    assert on_sqlite.client.collect_blobs(least_age_hours=22).unused.count == 1


def test_files_of_versions_stay(on_sqlite: World) -> None:
    given_version(on_sqlite, b"weights")
    make_old(on_sqlite, on_sqlite.blob_file(digest_of(b"weights")), hours=1_000)
    assert on_sqlite.client.collect_blobs(apply=True).unused.count == 0
    assert on_sqlite.client.get_blob(digest_of(b"weights")) == b"weights"


def test_a_version_that_comes_between_the_check_and_the_removal_keeps_its_blob(on_sqlite: World) -> None:
    digest = given_old_blob(on_sqlite, b"weights", hours=30)
    on_sqlite.registry.blobs.trash(digest)  # as a collection that had found it unused a moment ago
    given_version(on_sqlite, b"weights")
    assert on_sqlite.client.get_blob(digest) == b"weights"


def test_a_blob_that_was_put_aside_and_is_needed_again_comes_back(on_sqlite: World) -> None:
    given_version(on_sqlite, b"weights")
    on_sqlite.registry.blobs.trash(digest_of(b"weights"))
    make_old(on_sqlite, aside(on_sqlite, digest_of(b"weights")), hours=1_000)
    found = collect(on_sqlite.registry.deps, apply=True)
    assert ([blob.digest for blob in found.restored], found.deleted) == ([digest_of(b"weights")], ())
    assert on_sqlite.client.has_blob(digest_of(b"weights"))


def test_ages_below_an_hour_are_refused(on_sqlite: World) -> None:
    with pytest.raises(ApiError, match="least_age_hours"):
        on_sqlite.client.collect_blobs(least_age_hours=0)


def test_missing_and_damaged_files_are_found(on_sqlite: World) -> None:
    for data in (b"one", b"two", b"three"):
        given_version(on_sqlite, data)
    on_sqlite.blob_file(digest_of(b"one")).unlink()
    on_sqlite.blob_file(digest_of(b"two")).write_bytes(b"twO")
    unusable, after = set(), ""
    while True:
        page = on_sqlite.client.verify_blobs(after, limit=1)
        unusable |= set(page.unusable)
        if page.next_after is None:
            break
        after = page.next_after
    assert unusable == {digest_of(b"one"), digest_of(b"two")}


def test_a_backup_of_database_and_blobs_is_a_registry_again(on_sqlite: World, tmp_path: Path) -> None:
    given_version(on_sqlite, b"weights")
    data_dir, copy = on_sqlite.blobs_folder.parent, tmp_path / "backup" / "data"
    copy.mkdir(parents=True)
    [database] = data_dir.glob("*.db")
    with sqlite3.connect(database) as live, sqlite3.connect(copy / database.name) as saved:
        live.backup(saved)  # the database first: blobs are never changed, and stay a day after their last version
    shutil.copytree(on_sqlite.blobs_folder, copy / "blobs")

    with InProcessRegistry(copy.parent, on_sqlite.clock) as restored:
        deps = restored.registry.deps
        assert restored.registry.blobs.sound(digest_of(b"weights"))
        assert collect(deps, apply=True).unused == ()
