"""Registry client: fetches and caches the manifests of model versions."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from modelyard_contracts.manifest import ModelManifest
from modelyard_runtime.errors import Retryable
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

UNKNOWN_FOR_S: Final = 60.0
"""Seconds before a version that the registry does not know is requested again."""
MAX_CACHED: Final = 2_000
"""Cached versions; each takes some ten kilobytes. With more versions in use, every batch fetches again."""
TIMEOUT_S: Final = 10.0

Version = tuple[str, int, str]
"""(model, version, digest)"""


class RegistryAway(Retryable):
    """The registry is unreachable; without the profile a batch cannot be counted, so it waits."""

    code = "registry_away"


class Registry:
    """The Manifests port over HTTP: blocking, cached, safe to share between threads."""

    def __init__(self, url: str, token: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=TIMEOUT_S)
        self._monotonic = monotonic
        self._known: OrderedDict[Version, ModelManifest] = OrderedDict()
        self._unknown: OrderedDict[Version, float] = OrderedDict()
        self._lock = threading.Lock()

    def manifest(self, model: str, version: int, digest: str) -> ModelManifest | None:
        """Return the manifest with this digest; None when the registry has no such version, or another digest."""
        key = (model, version, digest)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            if self._monotonic() - self._unknown.get(key, float("-inf")) < UNKNOWN_FOR_S:
                return None
        found = self._fetch(model, version)
        if found is not None and found.digest != digest:
            log.warning("digest differs from the registry's", model=model, version=version, digest=digest)
            found = None
        self._remember(key, found)
        return found

    def close(self) -> None:
        self._client.close()

    def _remember(self, key: Version, found: ModelManifest | None) -> None:
        with self._lock:
            if found is None:
                self._unknown[key] = self._monotonic()
            else:
                self._known[key] = found
            for cache in (self._known, self._unknown):
                while len(cache) > MAX_CACHED:
                    cache.popitem(last=False)

    def _fetch(self, model: str, version: int) -> ModelManifest | None:
        answer = self._get(f"/v1/models/{quote(model, safe='')}/versions/{version}/manifest")
        if answer is None:
            return None
        try:
            return ModelManifest.model_validate_json(answer)
        except ValidationError as error:
            log.warning("unreadable manifest", model=model, version=version, error=str(error)[:300])
            return None

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
