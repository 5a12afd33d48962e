"""What the registry is told at its start."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.settings import StatefulSettings


class Settings(StatefulSettings):
    """Read once, in app.py. `REGISTRY_DATABASE_URL`: SQLite in the data folder unless given."""

    model_config = SettingsConfigDict(env_prefix="REGISTRY_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8101, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/registry")
    """Blobs are in `blobs/` below it, the SQLite file beside them."""
    max_blob_bytes: int = Field(4 * 1024**3, ge=1)
    """Largest file of a version or dataset; uploads are streamed, so memory is no limit."""
