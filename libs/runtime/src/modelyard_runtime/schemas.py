"""Schemas of newer releases, from the registry: `Codec(RegistrySchemas(url, key))`."""

import json
import urllib.error
import urllib.request
from typing import Any, Final

from modelyard_runtime.errors import Unavailable

TIMEOUT_S: Final = 5.0


class RegistrySchemas:
    """The codec's SchemaLookup over HTTP. Blocks; the codec caches the results.

    Unavailable (retryable) when the registry does not answer: a message must not become a dead letter for that.
    """

    def __init__(self, registry_url: str, key: str) -> None:
        self._url = registry_url.rstrip("/")
        self._key = key

    def by_id(self, schema_id: int) -> str | None:
        """The text of a schema by its id; None when the registry has none."""
        return self._ask(f"/schemas/ids/{schema_id}")

    def by_fingerprint(self, hexadecimal: str) -> str | None:
        """The text of a schema by its CRC-64-AVRO fingerprint in wire order; None when the registry has none."""
        return self._ask(f"/schemas/fingerprints/{hexadecimal}")

    def _ask(self, path: str) -> str | None:
        request = urllib.request.Request(  # noqa: S310  the scheme was checked with the settings
            self._url + path, headers={"Authorization": f"Bearer {self._key}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise Unavailable(f"schema at {self._url}{path}: HTTP {error.code}") from error
        except (OSError, ValueError) as error:
            raise Unavailable(f"schema at {self._url}{path}: {error}") from error
        return str(found["schema"])
