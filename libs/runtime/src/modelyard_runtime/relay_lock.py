"""The lock of the process that relays a database's events: a file lock for SQLite, an advisory lock in PostgreSQL."""

import fcntl
import hashlib
from typing import Any, Final

from sqlalchemy import Engine, text

RELAY_LOCK: Final = 0x6F_75_74_62_6F_78  # "outbox"


class RelayLock:
    """Held by one process per database; released by the operating system or the server when it ends."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._holder: Any = None

    @property
    def held(self) -> bool:
        return self._holder is not None

    def transactional_id(self, service: str) -> str:
        """Equal for all processes on one database, different for another database of the same service."""
        url = self._engine.url
        name = f"{url.host}:{url.port}/{url.database}"
        return f"modelyard.{service}.outbox.{hashlib.sha256(name.encode()).hexdigest()[:12]}"

    def acquire(self) -> bool:
        """Acquire it, or check that it is still held; False if another process holds it."""
        return self._acquire_file() if self._sqlite else self._acquire_advisory()

    def _acquire_file(self) -> bool:
        if self._holder is None:
            file = open(f"{self._engine.url.database}.relay.lock", "w")  # noqa: SIM115, PTH123  held until release
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                return False
            self._holder = file
        return True

    def _acquire_advisory(self) -> bool:
        if self._holder is not None:
            try:
                self._holder.execute(text("SELECT 1"))
                return True
            except Exception:  # the connection died and the lock with it
                self.release()
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": RELAY_LOCK}).scalar_one():
            self._holder = connection
            return True
        connection.close()
        return False

    def release(self) -> None:
        """Release it, if it is held."""
        holder, self._holder = self._holder, None
        if holder is not None and not self._sqlite:
            holder.invalidate()  # closes the session, and with it the lock
        if holder is not None:
            holder.close()
