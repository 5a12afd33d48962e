"""Downloads in the background, so that one large version does not delay the others."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Final

from modelyard_deployer.domain.errors import RegistryUnavailable, VersionUnusable
from modelyard_deployer.domain.ports import Registry
from modelyard_deployer.domain.routes import Version
from modelyard_runtime.clock import Clock
from modelyard_runtime.retention import discard, empty_trash, folders

RETRY_S: Final = 1.0
"""Pause after a failed download."""
log = logging.getLogger(__name__)


class Downloads:
    """Version folders under `home`, one per digest. After a restart the files are verified again."""

    def __init__(
        self, registry: Registry, home: Path, clock: Clock, notify: Callable[[str], None], pool: Executor | None = None
    ) -> None:
        self._registry, self._home, self._clock, self._notify = registry, home, clock, notify
        self._pool = pool or ThreadPoolExecutor(2, thread_name_prefix="download")
        self._running: dict[str, Future[Path]] = {}
        self._not_before: dict[str, datetime] = {}
        self._lock = RLock()

    def folder(self, version: Version) -> Path | None:
        """Return the folder of verified files, None during the download. Raises VersionUnusable if it failed."""
        with self._lock:
            return self._folder(version)

    def prune(self, kept: Callable[[], set[str]], spare: int) -> list[Path]:
        """Remove all folders except those of the `kept` digests and the newest `spare` of the others.

        kept: called under the lock of `folder`. A caller that records its version before it requests the folder
        either finds the folder or downloads it again.
        """
        empty_trash(self._home)
        with self._lock:
            names = {digest.removeprefix("sha256:") for digest in kept()}
            unused = [path for path in folders(self._home) if path.name not in names and not self._downloading(path)]
            for path in unused[spare:]:
                self._running.pop(f"sha256:{path.name}", None)
                discard(path)
        return unused[spare:]

    def _downloading(self, path: Path) -> bool:
        future = self._running.get(f"sha256:{path.name}")
        return future is not None and not future.done()

    def _folder(self, version: Version) -> Path | None:
        future = self._running.get(version.digest)
        if future is None:
            not_before = self._not_before.get(version.digest)
            if not_before is None or self._clock() >= not_before:
                self._start(version)
            return None
        if not future.done():
            return None
        try:
            return future.result()
        except RegistryUnavailable as error:
            log.warning("version %s of %s cannot be downloaded yet: %s", version.version, version.model, error)
            self._forget(version.digest)
            return None
        except VersionUnusable:
            self._forget(version.digest)
            raise
        except OSError as error:
            self._forget(version.digest)
            raise VersionUnusable(f"{self._home}: {error.strerror or error}") from error

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, version: Version) -> None:
        future = self._pool.submit(self._download, version)
        self._running[version.digest] = future
        future.add_done_callback(lambda _: self._notify(version.model))

    def _download(self, version: Version) -> Path:
        folder = self._home / version.digest.removeprefix("sha256:")
        folder.mkdir(parents=True, exist_ok=True)
        self._registry.download(version.file, folder)
        return folder

    def _forget(self, digest: str) -> None:
        self._running.pop(digest, None)
        self._not_before[digest] = self._clock() + timedelta(seconds=RETRY_S)
