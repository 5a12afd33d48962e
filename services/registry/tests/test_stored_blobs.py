"""One behaviour of stored blobs: in a folder, encrypted, in a bucket, and encrypted in a bucket."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard_contracts.keyring import KeyRing, KeyRingFile
from modelyard_contracts.manifest import FileEntry, digest_of
from modelyard_registry.domain.errors import BlobNotFound, WrongDigest
from modelyard_registry.store.blobs import StoredBlobs
from modelyard_registry.store.folder import FolderObjects
from modelyard_registry.store.objects import Objects, StoreUnavailable
from modelyard_registry.store.s3 import S3Objects
from modelyard_registry.store.sealing import CHUNK_BYTES, HEADER_BYTES, RingMasterKeys, Unsealable
from modelyard_runtime.errors import StartupError

from .buckets import Bucket

SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 7)


def ring_file(path: Path, ring: KeyRing | None = None) -> KeyRingFile:
    path.write_text((ring or KeyRing.fresh()).text())
    return KeyRingFile(path)


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.server)])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return FolderObjects(tmp_path / "objects")
    bucket: Bucket = request.getfixturevalue("bucket")
    return S3Objects(bucket.url, bucket.endpoint)


@pytest.fixture(params=["plain", "sealed"])
def blobs(request: pytest.FixtureRequest, objects: Objects, tmp_path: Path) -> StoredBlobs:
    keys = RingMasterKeys(ring_file(tmp_path / "keys")) if request.param == "sealed" else None
    return StoredBlobs(objects, tmp_path / "parts", max_bytes=10_000_000, keys=keys)


def whole(blobs: StoredBlobs, digest: str) -> bytes:
    return b"".join(blobs.read(digest))


@pytest.mark.parametrize("size", SIZES)
def test_bytes_come_back_as_they_went_in(blobs: StoredBlobs, size: int) -> None:
    data = os.urandom(size)
    digest = digest_of(data)
    assert blobs.put(digest, [data[:1000], data[1000:]]) is True
    assert blobs.put(digest, [data]) is False
    assert (blobs.size(digest), blobs.sound(digest), whole(blobs, digest)) == (size, True, data)


@pytest.mark.parametrize("start", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 5, 2 * CHUNK_BYTES])
@pytest.mark.parametrize("length", [1, 10, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_any_part_can_be_read(blobs: StoredBlobs, start: int, length: int) -> None:
    data = os.urandom(2 * CHUNK_BYTES + 7)
    blobs.put(digest_of(data), [data])
    assert b"".join(blobs.read(digest_of(data), start, start + length)) == data[start : start + length]


def test_a_missing_blob_is_an_error_before_the_first_byte(blobs: StoredBlobs) -> None:
    digest = digest_of(b"missing")
    assert (blobs.size(digest), blobs.sound(digest)) == (None, False)
    with pytest.raises(BlobNotFound):
        blobs.read(digest)


def test_other_bytes_than_promised_are_not_stored(blobs: StoredBlobs) -> None:
    with pytest.raises(WrongDigest):
        blobs.put(digest_of(b"promised"), [b"other"])
    assert list(blobs.stored()) == []


def test_a_blob_put_aside_is_missing_until_somebody_needs_it(blobs: StoredBlobs) -> None:
    digest = digest_of(b"old")
    blobs.put(digest, [b"old"])
    blobs.trash(digest)
    assert (blobs.size(digest), list(blobs.stored())) == (None, [])
    assert [(blob.digest, blob.size_bytes) for blob in blobs.trashed()] == [(digest, 3)]
    assert whole(blobs, digest) == b"old"
    assert ([blob.digest for blob in blobs.stored()], list(blobs.trashed())) == ([digest], [])


def test_a_discarded_blob_is_gone(blobs: StoredBlobs) -> None:
    digest = digest_of(b"old")
    blobs.put(digest, [b"old"])
    blobs.trash(digest)
    blobs.discard(digest)
    blobs.restore(digest)
    assert (blobs.size(digest), list(blobs.trashed())) == (None, [])


def test_files_are_laid_out_by_their_paths(blobs: StoredBlobs) -> None:
    data = {"weights.bin": b"weights", "deep/er/config.json": b"{}"}
    entries = [FileEntry(path=path, digest=digest_of(it), size_bytes=len(it)) for path, it in data.items()]
    for it in data.values():
        blobs.put(digest_of(it), [it])
    with blobs.laid_out(entries) as folder:
        assert {path: (folder / path).read_bytes() for path in data} == data
    assert not folder.exists()


@pytest.fixture
def sealed(tmp_path: Path) -> Callable[[KeyRing | None], StoredBlobs]:
    """Opens the same folder with a key ring, or without encryption."""

    def opened(ring: KeyRing | None) -> StoredBlobs:
        keys = None if ring is None else RingMasterKeys(ring_file(tmp_path / "keys", ring))
        return StoredBlobs(FolderObjects(tmp_path / "objects"), tmp_path / "parts", max_bytes=10_000_000, keys=keys)

    return opened


Opened = Callable[[KeyRing | None], StoredBlobs]


def sealed_files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "objects" / "sealed").rglob("*") if path.is_file()]


def test_no_stored_or_temporary_file_holds_the_bytes(sealed: Opened, tmp_path: Path) -> None:
    blobs = sealed(KeyRing.fresh())
    secret = b"the weights of our model" * 100_000
    upload = blobs.upload(digest_of(secret))
    upload.write(secret)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"the weights" not in path.read_bytes()
    upload.finish()
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"the weights" not in path.read_bytes()


def test_blobs_of_before_the_encryption_stay_readable(sealed: Opened) -> None:
    sealed(None).put(digest_of(b"plain"), [b"plain"])
    assert whole(sealed(KeyRing.fresh()), digest_of(b"plain")) == b"plain"


def test_a_rotated_master_key_opens_older_blobs(sealed: Opened) -> None:
    old = KeyRing.fresh()
    sealed(old).put(digest_of(b"x"), [b"x"])
    new = old.with_new()
    assert whole(sealed(new.with_current(new.secrets[-1].id)), digest_of(b"x")) == b"x"


def test_without_its_master_key_a_blob_is_refused_with_the_remedy(sealed: Opened) -> None:
    ring = KeyRing.fresh()
    sealed(ring).put(digest_of(b"x"), [b"x"])
    with pytest.raises(Unsealable, match="set ARTIFACT_KEY_FILE"):
        whole(sealed(None), digest_of(b"x"))
    with pytest.raises(Unsealable, match="is not the one it was"):
        whole(sealed(KeyRing.fresh()), digest_of(b"x"))
    other = ring.with_new()
    with pytest.raises(Unsealable, match="no master key '1'"):
        whole(sealed(other.with_current("2").only(1)), digest_of(b"x"))


def test_a_missing_master_key_moves_no_blob_aside(sealed: Opened) -> None:
    ring = KeyRing.fresh()
    sealed(ring).put(digest_of(b"x"), [b"x"])
    for wrong in (None, KeyRing.fresh()):
        with pytest.raises(Unsealable):
            sealed(wrong).sound(digest_of(b"x"))
    assert sealed(ring).sound(digest_of(b"x"))


def test_changed_bytes_move_the_blob_aside(sealed: Opened, tmp_path: Path) -> None:
    blobs = sealed(ring := KeyRing.fresh())
    blobs.put(digest_of(b"x"), [b"x"])
    [file] = sealed_files(tmp_path)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert not sealed(ring).sound(digest_of(b"x"))
    assert sealed_files(tmp_path) == []


@pytest.mark.parametrize("place", [0, 30, HEADER_BYTES, HEADER_BYTES + CHUNK_BYTES + 20, -1])
def test_a_changed_byte_is_noticed(sealed: Opened, tmp_path: Path, place: int) -> None:
    blobs = sealed(KeyRing.fresh())
    data = os.urandom(CHUNK_BYTES + 100)
    blobs.put(digest_of(data), [data])
    [file] = sealed_files(tmp_path)
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(Unsealable):
        whole(blobs, digest_of(data))


def test_a_dropped_last_chunk_is_noticed(sealed: Opened, tmp_path: Path) -> None:
    blobs = sealed(KeyRing.fresh())
    data = os.urandom(CHUNK_BYTES + 100)
    blobs.put(digest_of(data), [data])
    [file] = sealed_files(tmp_path)
    file.write_bytes(file.read_bytes()[: HEADER_BYTES + CHUNK_BYTES + 16])
    with pytest.raises(Unsealable):
        whole(blobs, digest_of(data))


def test_a_blob_under_the_name_of_another_is_noticed(sealed: Opened, tmp_path: Path) -> None:
    blobs = sealed(KeyRing.fresh())
    for data in (b"aaaa", b"bbbb"):
        blobs.put(digest_of(data), [data])
    one, other = sealed_files(tmp_path)
    one.write_bytes(other.read_bytes())
    with pytest.raises(Unsealable):
        whole(blobs, f"sha256:{one.name}")


def test_a_store_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    blobs = StoredBlobs(S3Objects("s3://models", "http://127.0.0.1:9"), tmp_path / "parts", max_bytes=10)
    with pytest.raises(StoreUnavailable, match="artifact store s3://models"):
        blobs.size(digest_of(b"x"))


@pytest.mark.parametrize("url", ["s3://", "s3://user@bucket", "http://bucket"])
def test_a_url_that_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(StartupError, match="ARTIFACT_URL"):
        S3Objects(url, None)
