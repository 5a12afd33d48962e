"""Alembic at the start of a service: upgrade to head, safely when two processes start together."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from modelyard_runtime.errors import StartupError

MIGRATION_LOCK: Final = 0x6D_6F_64_65_6C  # "model": the PostgreSQL advisory lock that one migrating process holds


def migrate(engine: Engine, script_location: str) -> None:
    """Upgrade the database to the newest revision in `script_location`; returns at once when it is there already.

    script_location: "package:folder", such as "modelyard_registry:migrations"; the folder needs only `versions/*.py`.
    A second process that starts meanwhile waits. All revisions apply in one transaction or not at all.
    StartupError when the database cannot be reached or written, or is newer than this release.
    """
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", script_location)
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    try:
        with _alone(engine) as connection:
            _upgrade(connection, config, script)
    except CommandError as error:
        raise StartupError(
            f"migrations of {script_location}: {error}; the database may be newer than this release"
        ) from error
    except (OperationalError, OSError) as error:
        service = script_location.partition(":")[0].removeprefix("modelyard_").upper()
        reason = str(getattr(error, "orig", None) or error).strip()
        raise StartupError(
            f"{service}_DATABASE_URL: the database {_place(engine)} cannot be used: {reason}; "
            f"free disk space there, start its server, or correct {service}_DATABASE_URL or {service}_DATA_DIR"
        ) from error


def _place(engine: Engine) -> str:
    url = engine.url
    return str(url.database) if engine.dialect.name == "sqlite" else f"at {url.host}"


def _upgrade(connection: Connection, config: Any, script: Any) -> None:
    from alembic.runtime.environment import EnvironmentContext

    def steps(revision: Any, context: Any) -> Any:
        return script._upgrade_revs("head", revision)

    with EnvironmentContext(config, script, fn=steps, destination_rev="head") as environment:
        # transactional_ddl: SQLite can, once it is we who begin; Alembic assumes it cannot.
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction, while no other process migrates."""
    if engine.dialect.name == "sqlite":
        with open(f"{engine.url.database}.migrate.lock", "w") as lock, engine.connect() as connection:  # noqa: PTH123
            fcntl.flock(lock, fcntl.LOCK_EX)  # SQLite's own lock would do, but only for its busy time-out
            # Rebuilding a table would otherwise delete what refers to it; the pragma works outside a transaction only.
            raw: Any = connection.connection.driver_connection
            raw.execute("PRAGMA foreign_keys=OFF")
            try:
                with connection.begin():
                    yield connection
            finally:
                raw.execute("PRAGMA foreign_keys=ON")
        return
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        yield connection
