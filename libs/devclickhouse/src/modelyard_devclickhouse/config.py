"""The server's settings, and the engine's configuration derived from them."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import socket
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from modelyard_devclickhouse.allowed import PATH_SETTINGS
from modelyard_devclickhouse.sql import words

MIB: Final = 1 << 20
ROLES: Final = ("writer", "reader")
TABLE_ENGINES: Final = words(
    """MergeTree SummingMergeTree ReplacingMergeTree AggregatingMergeTree CollapsingMergeTree CoalescingMergeTree
    VersionedCollapsingMergeTree GraphiteMergeTree Memory Log TinyLog StripeLog Set Join Buffer Null View
    MaterializedView Distributed Merge Dictionary GenerateRandom Alias Loop FuzzJSON FuzzQuery TimeSeries"""
)
"""Table engines that keep data in the data folder; grants cover only these."""


class CannotStart(RuntimeError):
    """The server cannot start; exit code 2. Not retryable without a change."""

    retryable = False


@dataclass(frozen=True)
class Settings:
    """Read once, in __main__."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    database: str = "ml"
    fsync: bool = False
    query_log: bool = False
    max_memory_bytes: int = 4096 * MIB
    threads_per_query: int = 2
    connections: int = 24
    """Concurrent statements; further ones wait."""


@dataclass(frozen=True)
class Passwords:
    """Salted hashes of the passwords by role: the process that runs the engine holds no password."""

    salt: str
    hashes: Mapping[str, str]

    def matches(self, role: str, password: str) -> bool:
        known = self.hashes.get(role, "")
        return hmac.compare_digest(_hash(self.salt, password), known)

    @classmethod
    def of(cls, passwords: Mapping[str, str]) -> Passwords:
        salt = secrets.token_hex(16)
        return cls(salt, {role: _hash(salt, password) for role, password in passwords.items()})

    @classmethod
    def read(cls, environ: Mapping[str, str], file: Path | None, data: Path) -> Passwords:
        """Read from a JSON file {"writer": ..., "reader": ...}, else the environment, else create data/passwords.json.

        Raises CannotStart if only one of them is given.
        """
        given = {role: environ.get(f"DEVCLICKHOUSE_{role.upper()}_PASSWORD", "") for role in ROLES}
        if file is not None:
            given = _read_passwords(file)
        elif not any(given.values()):
            given = _kept_passwords(data / "passwords.json")
        for role, password in given.items():
            if not password:
                raise CannotStart(
                    f"no password for the {role}: set DEVCLICKHOUSE_{role.upper()}_PASSWORD or give --passwords-file"
                )
        return cls.of(given)


def _hash(salt: str, password: str) -> str:
    return hashlib.blake2b(password.encode("utf-8", "surrogatepass"), key=salt.encode(), digest_size=32).hexdigest()


def _read_passwords(file: Path) -> dict[str, str]:
    try:
        given = json.loads(file.read_text())
        return {role: str(given.get(role) or "") for role in ROLES}
    except (OSError, ValueError, AttributeError) as error:
        raise CannotStart(f"the passwords in {file} cannot be read: {error}") from error


def _kept_passwords(file: Path) -> dict[str, str]:
    """Create the passwords at the first start, readable by the owner only."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as fresh:
            json.dump({role: secrets.token_urlsafe(24) for role in ROLES}, fresh)
        print(f"passwords made for writer and reader: {file}", file=sys.stderr)
    except FileExistsError:
        pass
    except OSError as error:
        raise CannotStart(f"the passwords in {file} cannot be made: {error.strerror or error}") from error
    return _read_passwords(file)


def lock_folder(data: Path) -> IO[str]:
    """Lock the data folder until the file is closed, also by a program that inherits it.

    Raises CannotStart if another process holds it.
    """
    try:
        for name in ("engine", "work", "spool"):
            (data / name).mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("a+")
    except OSError as error:
        raise CannotStart(f"the data folder {data} cannot be written: {error.strerror or error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        raise CannotStart(f"the data folder {data} is in use by process {lock.read().strip() or 'unknown'}") from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def bind(host: str, port: int) -> socket.socket:
    """Return the listening socket. Raises CannotStart if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With IPPROTO_TCP the event loop disables Nagle's algorithm; otherwise each response waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


_FOLDERS: Final = words(
    "user_files_path user_scripts_path dictionaries_lib_path dynamic_user_defined_executable_functions_path "
    "top_level_domains_path format_schema_path google_protos_path tmp_path"
)
FILES_DATABASE: Final = "_files"
"""The engine's database that takes any name as a file; it is dropped at the start."""
_DEFAULT_SQL: Final = "ATTACH DATABASE _ UUID '{}'\nENGINE = Atomic\n"


def prepare_default_database(engine: Path) -> None:
    """Make `default` an ordinary database: otherwise the engine creates it over the file system, at every start.

    The engine finds it in its metadata, and recreates the link beside it; it would load a link as a second database.
    """
    metadata = engine / "metadata"
    metadata.mkdir(exist_ok=True)
    if (metadata / "default").is_symlink():
        (metadata / "default").unlink()
    if not (metadata / "default.sql").exists():
        (metadata / "default.sql").write_text(_DEFAULT_SQL.format(uuid.uuid4()))


def write_engine_config(settings: Settings) -> Path:
    """Write the engine's configuration files; returns the main one."""
    folder = settings.data / "engine.config"
    folder.mkdir(exist_ok=True)
    users, main = folder / "users.xml", folder / "config.xml"
    users.write_text(_users_xml(settings))
    main.write_text(_config_xml(settings, users))
    return main


def _users_xml(settings: Settings) -> str:
    grants = ["GRANT ALL ON *.*", "REVOKE SOURCES ON *.*", "REVOKE TABLE ENGINE ON *"]
    grants += [f"GRANT TABLE ENGINE ON {engine}" for engine in sorted(TABLE_ENGINES)]
    return f"""<clickhouse>
  <profiles><default>
    <constraints>{"".join(f"<{name}><readonly/></{name}>" for name in sorted(PATH_SETTINGS))}</constraints>
    <implicit_select>0</implicit_select>
    <max_threads>{settings.threads_per_query}</max_threads>
    <max_insert_threads>1</max_insert_threads>
    <log_queries>{int(settings.query_log)}</log_queries>
  </default></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
    <grants>{"".join(f"<query>{grant}</query>" for grant in grants)}</grants>
  </default></users>
</clickhouse>
"""


def _config_xml(settings: Settings, users: Path) -> str:
    sync = "<fsync_after_insert>1</fsync_after_insert><fsync_part_directory>1</fsync_part_directory>"
    log = (
        "<query_log><database>system</database><table>query_log</table><ttl>event_date + INTERVAL 3 DAY</ttl>"
        "<flush_interval_milliseconds>7500</flush_interval_milliseconds></query_log>"
    )
    return f"""<clickhouse>
  <logger><level>none</level></logger>
  <timezone>UTC</timezone>
  <default_database>{FILES_DATABASE}</default_database>
  {"".join(f"<{name}>{settings.data}/work/{name}/</{name}>" for name in _FOLDERS)}
  <max_server_memory_usage>{settings.max_memory_bytes}</max_server_memory_usage>
  <mark_cache_size>{64 * MIB}</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <index_mark_cache_size>{16 * MIB}</index_mark_cache_size>
  <mmap_cache_size>64</mmap_cache_size>
  <compiled_expression_cache_size>{8 * MIB}</compiled_expression_cache_size>
  <max_thread_pool_size>256</max_thread_pool_size>
  <max_thread_pool_free_size>8</max_thread_pool_free_size>
  <background_pool_size>2</background_pool_size>
  <background_schedule_pool_size>4</background_schedule_pool_size>
  <background_common_pool_size>2</background_common_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <background_move_pool_size>1</background_move_pool_size>
  <user_directories><users_xml><path>{users}</path></users_xml></user_directories>
  <merge_tree>
    <old_parts_lifetime>30</old_parts_lifetime>
    <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    {sync if settings.fsync else ""}
  </merge_tree>
  {log if settings.query_log else ""}
</clickhouse>
"""
