"""Settings of the registry, from environment variables."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.settings import StatefulSettings


class Settings(StatefulSettings):
    """Read once, in app.py. `REGISTRY_DATABASE_URL`: SQLite in the data folder unless given."""

    model_config = SettingsConfigDict(env_prefix="REGISTRY_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8101, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/registry")
    """Holds the blobs in `blobs/`, uploads in progress, and the SQLite file."""
    artifact_url: str | None = Field(None, alias="ARTIFACT_URL", pattern=r"^s3://")
    """`s3://bucket/prefix`: blobs lie there instead of in `blobs/`. Credentials and region: the AWS_* variables."""
    artifact_endpoint_url: str | None = Field(None, alias="ARTIFACT_ENDPOINT_URL", pattern=r"^https?://")
    """A store other than AWS that speaks its protocol."""
    artifact_public_endpoint_url: str | None = Field(None, alias="ARTIFACT_PUBLIC_ENDPOINT_URL", pattern=r"^https?://")
    """The store's address as clients see it, for direct uploads; None: they use the same as the registry."""
    artifact_direct_uploads: bool = Field(True, alias="ARTIFACT_DIRECT_UPLOADS")
    """Offer clients to send large files to the bucket themselves, by presigned URLs."""
    artifact_url_expiry_s: int = Field(3_600, alias="ARTIFACT_URL_EXPIRY_S", ge=60, le=604_800)
    """Seconds for which a presigned URL takes its part."""
    artifact_key_file: Path | None = Field(None, alias="ARTIFACT_KEY_FILE")
    """Key ring with master keys, the current one first: blobs are stored encrypted. None: as they are."""
    max_blob_bytes: int = Field(16 * 1024**3, ge=1)
    """Largest file of a version or dataset. Uploads are streamed, so memory does not limit it."""
    osv_snapshot: Path | None = None
    """Folder or zip file of OSV records, with which dependencies of versions are compared. It may be replaced while the
    registry runs. None: nothing is known about dependencies, which is shown as incomplete."""
    key_hash_secret_file: Path | None = None
    """File with lines `id:secret`, the current one first: API keys are hashed with it. None derives a secret from the
    admin key, so that a new admin key ends every API key."""
    service_keys_dir: Path | None = None
    """Folder with the key of each service in `<service>.key`; only hashes are stored. None: there are none."""

    def check_files(self) -> None:
        """The registry needs the admin key."""
        _ = self.admin_key
