"""Open the store of blobs that the settings name."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard_registry.domain.direct import DirectUploads, NoDirectUploads
from modelyard_registry.store.blobs import StoredBlobs
from modelyard_registry.store.direct import BucketUploads
from modelyard_registry.store.folder import FolderObjects
from modelyard_registry.store.multipart import Bucket, Multipart
from modelyard_registry.store.s3 import S3Objects
from modelyard_registry.store.sealing import MasterKeys, RingMasterKeys
from modelyard_registry.store.signing import Credentials
from modelyard_runtime.errors import StartupError
from modelyard_runtime.settings import open_key_ring

PARTS: Final = "parts"
URL_EXPIRY_S: Final = 3_600


@dataclass(frozen=True)
class Place:
    """Where blobs lie. url: a bucket; None: the folder `folder`, which also holds the uploads in progress.

    endpoint, public_endpoint: addresses of the bucket's store for this process and for clients. direct: offer direct
    uploads, with URLs that work for url_expiry_s seconds. key_file: key ring to encrypt new blobs with.
    """

    folder: Path
    url: str | None = None
    endpoint: str | None = None
    public_endpoint: str | None = None
    direct: bool = True
    url_expiry_s: int = URL_EXPIRY_S
    key_file: Path | None = None


def open_blobs(place: Place, max_bytes: int) -> tuple[StoredBlobs, DirectUploads]:
    """The blobs, and the uploads that clients send to their store; StartupError names the setting at fault."""
    multipart = _multipart(place)
    try:
        objects = FolderObjects(place.folder) if place.url is None else S3Objects(place.url, place.endpoint, multipart)
        keys = _master_keys(place.key_file)
        blobs = StoredBlobs(objects, place.folder / PARTS, max_bytes=max_bytes, keys=keys)
    except OSError as error:
        raise StartupError(f"REGISTRY_DATA_DIR: cannot write {place.folder}: {error.strerror or error}") from error
    if isinstance(objects, S3Objects) and multipart is not None and place.direct and keys is None:
        return blobs, BucketUploads(blobs, objects, multipart, place.url_expiry_s)
    return blobs, NoDirectUploads(_reason(place))


def _reason(place: Place) -> str:
    """Why there are no direct uploads."""
    if place.url is None:
        return "the blobs lie in a folder of the registry"
    if place.key_file is not None:
        return "blobs are encrypted by the registry, which must see their bytes"
    if not place.direct:
        return "ARTIFACT_DIRECT_UPLOADS is off"
    return "they need AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and ARTIFACT_ENDPOINT_URL for a store other than AWS"


def _multipart(place: Place) -> Multipart | None:
    """None without static credentials, or where only obstore knows the address of the store."""
    credentials = Credentials.from_environment()
    hidden = place.endpoint is None and any(name.startswith("AWS_ENDPOINT") for name in os.environ)
    if place.url is None or credentials is None or hidden:
        return None
    return Multipart(Bucket.at(place.url, place.endpoint, place.public_endpoint), credentials)


def _master_keys(file: Path | None) -> MasterKeys | None:
    return None if file is None else RingMasterKeys(open_key_ring(file, "ARTIFACT_KEY_FILE"))
