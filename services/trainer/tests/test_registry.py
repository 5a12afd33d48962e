"""What is fetched of an older dataset, over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard import RegistryClient
from modelyard_contracts.manifest import digest_of
from modelyard_contracts.policies import RetrainPolicy
from modelyard_trainer.clients.registry import MAX_OLDER_BYTES, RegistryGateway

from .helpers.registry_server import RegistryServer

ROWS = b"as good as parquet"


@pytest.fixture
def server(loopback: None) -> Iterator[RegistryServer]:
    server = RegistryServer(RetrainPolicy())
    yield server
    server.close()


def told(server: RegistryServer, size_bytes: int) -> str:
    with RegistryClient(server.url, "k" * 20) as client:
        client.create_dataset(digest_of(ROWS), "older", rows=3, size_bytes=size_bytes, columns={})
    return digest_of(ROWS)


@pytest.mark.parametrize(
    ("size_bytes", "blob", "fetched"),
    [(len(ROWS), True, True), (MAX_OLDER_BYTES + 1, True, False), (len(ROWS), False, False), (None, True, False)],
    ids=["small", "too large", "its blob is gone", "unknown"],
)
def test_an_older_dataset_is_fetched_when_it_is_there_and_not_too_large(
    server: RegistryServer, tmp_path: Path, size_bytes: int | None, blob: bool, fetched: bool
) -> None:
    digest = told(server, size_bytes) if size_bytes is not None else digest_of(ROWS)
    if blob:
        server.blobs[digest] = ROWS
    target = tmp_path / "older.parquet"
    with RegistryClient(server.url, "k" * 20) as client:
        assert RegistryGateway(client).fetch_older(digest, target) is fetched
    assert target.exists() is fetched and (not fetched or target.read_bytes() == ROWS)
