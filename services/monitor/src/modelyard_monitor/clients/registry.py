"""Registry client: fetches and caches the manifests of model versions."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import httpx

from modelyard_contracts.documents import DocumentError, digest_of
from modelyard_contracts.manifest import ManifestFile
from modelyard_monitor.domain.watching import Lookup, Version
from modelyard_runtime.errors import Retryable

UNKNOWN_FOR_S: Final = 60.0
"""Seconds before a manifest that is missing or unreadable is requested again."""
MAX_CACHED: Final = 2_000
"""Cached versions; each takes some ten kilobytes. With more versions in use, every batch fetches again."""
TIMEOUT_S: Final = 10.0
MAX_REASON_CHARS: Final = 500


class RegistryAway(Retryable):
    """The registry is unreachable; without the profile a batch cannot be counted, so it waits."""

    code = "registry_away"


class Registry:
    """The Manifests port over HTTP: blocking, cached, safe to share between threads."""

    def __init__(
        self,
        url: str,
        token: str,
        monotonic: Callable[[], float] = time.monotonic,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, transport=transport)
        self._monotonic = monotonic
        self._known: OrderedDict[Version, Lookup] = OrderedDict()
        self._unknown: OrderedDict[Version, tuple[float, Lookup]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, version: Version) -> Lookup:
        """Return the manifest with this digest, or why it cannot be used; RegistryAway while it cannot be fetched."""
        with self._lock:
            if version in self._known:
                self._known.move_to_end(version)
                return self._known[version]
            at, found = self._unknown.get(version, (float("-inf"), Lookup()))
            if self._monotonic() - at < UNKNOWN_FOR_S:
                return found
        found = self._fetch(version)
        self._remember(version, found)
        return found

    def close(self) -> None:
        self._client.close()

    def _remember(self, version: Version, found: Lookup) -> None:
        with self._lock:
            if found.manifest is None:
                self._unknown[version] = (self._monotonic(), found)
            else:
                self._known[version] = found
            for cache in (self._known, self._unknown):
                while len(cache) > MAX_CACHED:
                    cache.popitem(last=False)

    def _fetch(self, version: Version) -> Lookup:
        model, number, digest = version
        data = self._get(f"/v1/models/{quote(model, safe='')}/versions/{number}/manifest")
        if data is None:
            return Lookup(reason="the registry has no such version")
        if digest_of(data) != digest:
            return Lookup(reason=f"the registry holds this version with the digest {digest_of(data)}")
        try:
            return Lookup.of(ManifestFile.read(data).manifest)
        except DocumentError as error:
            return Lookup(reason=str(error)[:MAX_REASON_CHARS])

    def _get(self, path: str) -> bytes | None:
        """Return the body; None for 404 and 422. Any other status raises RegistryAway."""
        try:
            answer = self._client.get(path)
        except httpx.HTTPError as error:
            raise RegistryAway(f"the registry does not answer: {type(error).__name__}: {error}") from error
        if answer.status_code in (404, 422):
            return None
        if answer.status_code != 200:
            raise RegistryAway(f"the registry answered {answer.status_code} to {path}")
        return answer.content
