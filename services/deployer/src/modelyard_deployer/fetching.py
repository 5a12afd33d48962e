"""Downloads in the background, so that one large version does not hold up the others."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Final

from modelyard_deployer.domain.model import Version
from modelyard_deployer.domain.ports import Refused, Registry, RegistryAway
from modelyard_runtime.clock import Clock
from modelyard_runtime.retention import discard, empty_trash, folders

RETRY_S: Final = 1.0
"""After a download that failed."""
log = logging.getLogger(__name__)


class Fetcher:
    """Versions' folders below `home`, one per digest. After a crash the files are verified again."""

    def __init__(
        self, registry: Registry, home: Path, clock: Clock, notify: Callable[[], None], pool: Executor | None = None
    ) -> None:
        self._registry, self._home, self._clock, self._notify = registry, home, clock, notify
        self._pool = pool or ThreadPoolExecutor(2, thread_name_prefix="fetch")
        self._running: dict[str, Future[Path]] = {}
        self._not_before: dict[str, datetime] = {}
        self._lock = RLock()

    def folder(self, version: Version) -> Path | None:
        """Its folder with verified files, None while it is on its way; Refused when it can never be."""
        with self._lock:
            return self._folder(version)

    def prune(self, kept: Callable[[], set[str]], spare: int) -> list[Path]:
        """Remove folders but those of the digests that are `kept`, and of the others the newest `spare`.

        kept: asked while no folder is given out. Who says there what it uses before it asks for the folder either is
        among them or downloads anew.
        """
        empty_trash(self._home)
        with self._lock:
            names = {digest.removeprefix("sha256:") for digest in kept()}
            unused = [path for path in folders(self._home) if path.name not in names and not self._on_its_way(path)]
            for path in unused[spare:]:
                self._running.pop(f"sha256:{path.name}", None)
                discard(path)
        return unused[spare:]

    def _on_its_way(self, path: Path) -> bool:
        known = self._running.get(f"sha256:{path.name}")
        return known is not None and not known.done()

    def _folder(self, version: Version) -> Path | None:
        known = self._running.get(version.digest)
        if known is None:
            not_before = self._not_before.get(version.digest)
            if not_before is None or self._clock() >= not_before:
                self._start(version)
            return None
        if not known.done():
            return None
        try:
            return known.result()
        except RegistryAway as error:
            log.warning("version %s of %s cannot be fetched yet: %s", version.version, version.model, error)
            self._forget(version.digest)
            return None
        except Refused:
            self._forget(version.digest)
            raise
        except OSError as error:
            self._forget(version.digest)
            raise Refused(f"{self._home}: {error.strerror or error}") from error

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, version: Version) -> None:
        future = self._pool.submit(self._fetch, version)
        self._running[version.digest] = future
        future.add_done_callback(lambda _: self._notify())

    def _fetch(self, version: Version) -> Path:
        folder = self._home / version.digest.removeprefix("sha256:")
        folder.mkdir(parents=True, exist_ok=True)
        self._registry.download(version.manifest, folder)
        return folder

    def _forget(self, digest: str) -> None:
        self._running.pop(digest, None)
        self._not_before[digest] = self._clock() + timedelta(seconds=RETRY_S)
