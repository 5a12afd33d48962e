import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard import ApiError, ApiUnavailable
from modelyard_contracts.manifest import digest_of

from .conftest import World


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_blob_lies_under_its_digest_and_is_stored_once(on_sqlite: World) -> None:
    digest = digest_of(b"hello")
    put = [on_sqlite.client.request("PUT", f"/v1/blobs/{digest}", content=b"hello").status_code for _ in range(2)]
    assert put == [201, 200]
    folder = on_sqlite.blobs_folder
    assert _files(folder) == [folder / "sha256" / digest[7:9] / digest[7:]]
    assert on_sqlite.client.get_blob(digest) == b"hello"


def test_bytes_with_another_digest_are_refused_and_leave_nothing(on_sqlite: World) -> None:
    digest = digest_of(b"hello")
    with pytest.raises(ApiError, match=f"have the digest {digest_of(b'hullo')}") as refused:
        on_sqlite.client.request("PUT", f"/v1/blobs/{digest}", content=b"hullo")
    assert (refused.value.status, refused.value.code) == (422, "digest_mismatch")
    assert not on_sqlite.client.has_blob(digest)
    assert _files(on_sqlite.blobs_folder) == []


def test_a_large_blob_is_streamed_up_and_down(on_sqlite: World, tmp_path: Path) -> None:
    data = os.urandom(2_500_000)
    (tmp_path / "large").write_bytes(data)
    digest = on_sqlite.client.put_blob(tmp_path / "large")
    assert on_sqlite.client.get_blob(digest, tmp_path / "back").read_bytes() == data


def test_the_empty_blob_is_a_blob(on_sqlite: World) -> None:
    assert on_sqlite.client.get_blob(on_sqlite.client.put_blob(b"")) == b""


@pytest.mark.parametrize("declared", [True, False])
def test_a_blob_past_the_limit_is_refused_and_leaves_nothing(on_sqlite: World, declared: bool) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(4):
            yield b"x" * 1_000_000

    content: Any = b"x" * 4_000_000 if declared else chunks()
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.request("PUT", f"/v1/blobs/{digest_of(b'')}", content=content)
    assert refused.value.status == 413
    assert _files(on_sqlite.blobs_folder) == []


@pytest.mark.parametrize("digest", ["sha256:00", "md5:x", "sha256:" + "G" * 64, "sha256:" + "A" * 64, "..%2F..%2Fetc"])
def test_a_malformed_digest_is_refused(on_sqlite: World, digest: str) -> None:
    for method in ("PUT", "GET"):
        with pytest.raises(ApiError) as refused:
            on_sqlite.client.request(method, f"/v1/blobs/{digest}")
        assert refused.value.status in (404, 422)
    assert _files(on_sqlite.blobs_folder) == []


def test_an_unknown_blob_is_404(on_sqlite: World) -> None:
    digest = digest_of(b"missing")
    assert not on_sqlite.client.has_blob(digest)
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.get_blob(digest)
    assert (refused.value.status, refused.value.code) == (404, "blob_not_found")


def test_a_full_disk_is_reported_and_leaves_nothing(on_sqlite: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ApiUnavailable, match="disk is full") as refused:
        on_sqlite.client.put_blob(b"hello")
    assert (refused.value.status, refused.value.code) == (503, "storage_full")
    assert _files(on_sqlite.blobs_folder) == []


def test_part_of_a_blob_can_be_read(on_sqlite: World) -> None:
    digest = on_sqlite.client.put_blob(b"0123456789")
    answer = on_sqlite.client.request("GET", f"/v1/blobs/{digest}", headers={"range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")


def test_interrupted_uploads_are_removed_at_a_later_start(on_sqlite: World) -> None:
    blobs = on_sqlite.registry.blobs
    old = blobs.upload(digest_of(b"a"))
    old.write(b"half")
    [interrupted] = _files(on_sqlite.blobs_folder)
    new = blobs.upload(digest_of(b"b"))
    new.write(b"half")
    long_ago = 1_000_000_000
    os.utime(interrupted, (long_ago, long_ago))
    assert blobs.remove_abandoned() == 1
    assert len(_files(on_sqlite.blobs_folder)) == 1 and not interrupted.exists()
    new.abandon()
    old.abandon()


def test_a_dataset_is_a_blob_and_how_it_was_made(on_sqlite: World) -> None:
    digest = on_sqlite.client.put_blob(b"parquet bytes")
    source = {"sql": "SELECT 1", "offsets": {"0": [0, 9]}}

    def create(name: str) -> Any:
        columns = {"price": "double", "label": "string"}
        return on_sqlite.client.create_dataset(digest, name, rows=10, size_bytes=13, columns=columns, source=source)

    made = create("window")
    assert made == on_sqlite.client.dataset(digest)
    assert (made.source, made.columns["label"]) == (source, "string")
    assert create("the same bytes under another name").name == "window"


def test_a_dataset_without_its_blob_or_of_another_size_or_model_is_refused(on_sqlite: World) -> None:
    def create(digest: str, size_bytes: int, model: str | None = None) -> ApiError:
        with pytest.raises(ApiError) as refused:
            on_sqlite.client.create_dataset(digest, "d", rows=1, size_bytes=size_bytes, columns={}, model=model)
        return refused.value

    assert create(digest_of(b"missing"), 1).code == "blob_not_found"
    digest = on_sqlite.client.put_blob(b"x")
    assert create(digest, 2).field == "size_bytes"
    assert create(digest, 1, "missing").code == "model_not_found"
    assert create("sha256:1", 1).field == "digest"
