"""Certificate authorities for HTTPS: those of the system, or of the file in SSL_CERT_FILE, as OpenSSL has it.

OpenSSL takes a file that it cannot read for an empty list, so the settings check it at the start.
"""

import os
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from modelyard_runtime.errors import StartupError

VARIABLE: Final = "SSL_CERT_FILE"


def ca_file() -> str | None:
    """Return the file of the environment, for libraries that do not ask OpenSSL; None: the library's own list."""
    return os.environ.get(VARIABLE) or None


def clickhouse_tls(url: str) -> dict[str, Any]:
    """Return how clickhouse-connect must connect to `url`: it takes https from the port alone, and certifi's list."""
    return {"interface": urlsplit(url).scheme, "ca_cert": ca_file()}


def check_ca_file(path: Path | None) -> None:
    """StartupError when the file cannot be read or holds no certificate."""
    if path is None:
        return
    try:
        if not ssl.create_default_context(cafile=str(path)).get_ca_certs():
            raise ssl.SSLError("no certificates in it")
    except OSError as error:  # an SSLError is one
        raise StartupError(f"{VARIABLE}: cannot use {path} ({error}); give certificates in PEM, or unset it") from error
