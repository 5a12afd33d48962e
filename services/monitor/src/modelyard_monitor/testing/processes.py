"""Local processes for tests and benchmarks: a ClickHouse, a registry, the monitor itself."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

from modelyard_contracts.keyring import KeyRing, Secret
from modelyard_contracts.manifest import ModelManifest
from modelyard_devstack.testing.processes import DevServer, Process
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.connection import connect

ADMIN_KEY: Final = "an admin key of the tests, long enough"
STATE_SECRETS: Final = KeyRing((Secret("1", "a secret of the tests, long enough"),))
"""Sign the detector states of `monitor_process`."""
WRITER: Final = ("writer", "w" * 16)
"""User and password of `own_clickhouse`."""


class FakeRegistry:
    """A registry over HTTP that serves some manifests; a context manager."""

    def __init__(self, manifests: dict[tuple[str, int], ModelManifest], port: int = 0) -> None:
        known = {f"/v1/models/{m}/versions/{v}/manifest": found.canonical() for (m, v), found in manifests.items()}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = known.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("content-length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def own_clickhouse(folder: Path) -> DevServer:
    """Return a local ClickHouse with its data in `folder`, not started yet."""
    data = folder / "clickhouse"
    data.mkdir()
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps({WRITER[0]: WRITER[1], "reader": "r" * 16}))
    return DevServer("modelyard_devclickhouse", data, "--passwords-file", str(passwords))


def store_of(server: DevServer) -> ClickHouse:
    """Return the monitor's tables in a started `own_clickhouse`."""
    return ClickHouse(connect(server.url, *WRITER), "ml")


def monitor_process(folder: Path, *, bootstrap: str, clickhouse: str, registry: str, **settings: str) -> Process:
    """Return `python -m modelyard_monitor` on any port, not started yet; settings such as flush_s="0.3"."""
    key = folder / "admin.key"
    key.write_text(ADMIN_KEY)
    secrets = folder / "monitor-state.keys"
    secrets.write_text(STATE_SECRETS.text())
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "CLICKHOUSE_URL": clickhouse,
        "CLICKHOUSE_USER": WRITER[0],
        "CLICKHOUSE_PASSWORD": WRITER[1],
        "REGISTRY_URL": registry,
        "MODELYARD_ADMIN_KEY_FILE": str(key),
        "MONITOR_STATE_SECRET_FILE": str(secrets),
        "MONITOR_PORT": "0",
        "MONITOR_DATA_DIR": str(folder / "monitor"),
        "OMP_NUM_THREADS": "1",
        **{f"MONITOR_{name.upper()}": value for name, value in settings.items()},
    }
    return Process([sys.executable, "-m", "modelyard_monitor"], env)
