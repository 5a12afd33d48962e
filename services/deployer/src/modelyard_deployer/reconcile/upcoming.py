"""Versions of waiting rollouts, read from the registry in the background: a slow registry never delays a decision."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

from modelyard_deployer.domain.errors import RegistryUnavailable, VersionUnusable
from modelyard_deployer.domain.ports import Registry, Store
from modelyard_deployer.domain.workloads import VersionKey
from modelyard_runtime.clock import Clock

SERVABLE: Final = frozenset({"approved", "live"})
RETRY: Final = timedelta(seconds=5)
log = logging.getLogger(__name__)


class Upcoming:
    """Stores a version that may serve soon, so that its replicas start while its rollout waits."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        notify: Callable[[str], None],
        pool: Executor | None = None,
    ) -> None:
        self._store, self._registry, self._clock, self._notify = store, registry, clock, notify
        self._pool = pool or ThreadPoolExecutor(2, thread_name_prefix="upcoming")
        self._asked: dict[str, tuple[VersionKey, datetime, Future[None]]] = {}

    def request(self, key: VersionKey) -> None:
        """Read the version in the background unless that is under way or failed a moment ago; returns at once."""
        now, asked = self._clock(), self._asked.get(key.model)
        if asked is not None and asked[0] == key and (not asked[2].done() or now - asked[1] < RETRY):
            return
        self._asked[key.model] = (key, now, self._pool.submit(self._read, key))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, key: VersionKey) -> None:
        """Errors are not reported here: the rollout meets them again when its turn comes."""
        try:
            version = self._registry.version(key.model, key.version)
        except (RegistryUnavailable, VersionUnusable) as error:
            log.info("version %s of %s is not prepared yet: %s", key.version, key.model, error)
            return
        if version.stage in SERVABLE:
            with self._store.write() as records:
                records.versions.save(version)
            self._notify(key.model)
