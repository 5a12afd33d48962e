"""Files of service keys."""

from pathlib import Path

from modelyard_runtime.errors import StartupError
from modelyard_runtime.settings import read_key

VARIABLE = "REGISTRY_SERVICE_KEYS_DIR"


def read_service_keys(folder: Path) -> dict[str, str]:
    """Service to the text of its key, from `<service>.key`; StartupError names the file that cannot be read."""
    if not folder.is_dir():
        raise StartupError(f"{VARIABLE}: {folder} is not a folder; create it with a file `<service>.key` per service")
    return {path.stem: read_key(path, VARIABLE) for path in sorted(folder.glob("*.key"))}
