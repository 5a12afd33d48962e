"""Fetching an older dataset from the registry."""

from pathlib import Path

import pytest

from modelyard_contracts.manifest import digest_of
from modelyard_trainer.clients import registry

from .helpers.world import World

ROWS = b"as good as parquet"


def given_dataset(world: World) -> str:
    digest = world.client.put_blob(ROWS)
    world.client.create_dataset(digest, "older", rows=3, size_bytes=len(ROWS), columns={})
    return digest


def test_an_older_dataset_is_fetched(world: World, tmp_path: Path) -> None:
    target = tmp_path / "older.parquet"
    assert world.gateway.fetch_older(given_dataset(world), target)
    assert target.read_bytes() == ROWS


def test_an_older_dataset_that_is_too_large_is_not_fetched(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_OLDER_BYTES", len(ROWS) - 1)
    assert not world.gateway.fetch_older(given_dataset(world), tmp_path / "older.parquet")


def test_an_unknown_older_dataset_is_not_fetched(world: World, tmp_path: Path) -> None:
    assert not world.gateway.fetch_older(digest_of(ROWS), tmp_path / "older.parquet")
