"""Local processes for tests and benchmarks: a ClickHouse, and the monitor itself."""

import json
import sys
from pathlib import Path
from typing import Final

from modelyard_contracts.keyring import KeyRing, Secret
from modelyard_devstack.testing.processes import DevServer, Process
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.connection import connect

STATE_SECRETS: Final = KeyRing((Secret("1", "a secret of the tests, long enough"),))
"""Sign the detector states of `monitor_process`."""
WRITER: Final = ("writer", "w" * 16)
READER: Final = ("reader", "r" * 16)
"""Users and passwords of `own_clickhouse`."""


def own_clickhouse(folder: Path) -> DevServer:
    """Return a local ClickHouse with its data in `folder`, not started yet."""
    data = folder / "clickhouse"
    data.mkdir()
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps(dict((WRITER, READER))))
    return DevServer("modelyard_devclickhouse", data, "--passwords-file", str(passwords))


def store_of(server: DevServer) -> ClickHouse:
    """Return the monitor's tables in a started `own_clickhouse`."""
    return ClickHouse(connect(server.url, *WRITER), "ml")


def monitor_process(
    folder: Path, *, bootstrap: str, clickhouse: str, registry: str, key: str, **settings: str
) -> Process:
    """Return `python -m modelyard_monitor` on any port, not started yet.

    key: of the registry's admin. settings: further ones, such as flush_s="0.3".
    """
    key_file = folder / "admin.key"
    key_file.write_text(key)
    secrets = folder / "monitor-state.keys"
    secrets.write_text(STATE_SECRETS.text())
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "CLICKHOUSE_URL": clickhouse,
        "CLICKHOUSE_USER": WRITER[0],
        "CLICKHOUSE_PASSWORD": WRITER[1],
        "REGISTRY_URL": registry,
        "MODELYARD_ADMIN_KEY_FILE": str(key_file),
        "MONITOR_STATE_SECRET_FILE": str(secrets),
        "MONITOR_PORT": "0",
        "MONITOR_DATA_DIR": str(folder / "monitor"),
        "OMP_NUM_THREADS": "1",
        **{f"MONITOR_{name.upper()}": value for name, value in settings.items()},
    }
    return Process([sys.executable, "-m", "modelyard_monitor"], env)
