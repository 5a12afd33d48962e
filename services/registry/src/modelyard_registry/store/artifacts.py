"""Open the store of blobs that the settings name."""

from pathlib import Path
from typing import Final

from modelyard_registry.store.blobs import StoredBlobs
from modelyard_registry.store.folder import FolderObjects
from modelyard_registry.store.s3 import S3Objects
from modelyard_registry.store.sealing import MasterKeys, RingMasterKeys
from modelyard_runtime.errors import StartupError
from modelyard_runtime.settings import open_key_ring

PARTS: Final = "parts"


def open_blobs(
    folder: Path, *, max_bytes: int, url: str | None = None, endpoint: str | None = None, key_file: Path | None = None
) -> StoredBlobs:
    """The blobs of `folder`, or of the bucket `url`; StartupError names the setting that cannot be used.

    folder: also holds the uploads in progress. key_file: key ring to encrypt new blobs with.
    """
    try:
        objects = FolderObjects(folder) if url is None else S3Objects(url, endpoint)
        return StoredBlobs(objects, folder / PARTS, max_bytes=max_bytes, keys=_master_keys(key_file))
    except OSError as error:
        raise StartupError(f"REGISTRY_DATA_DIR: cannot write {folder}: {error.strerror or error}") from error


def _master_keys(file: Path | None) -> MasterKeys | None:
    return None if file is None else RingMasterKeys(open_key_ring(file, "ARTIFACT_KEY_FILE"))
