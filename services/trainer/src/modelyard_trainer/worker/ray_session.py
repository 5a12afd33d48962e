"""Ray for one run: a local one that begins and ends with it, or the cluster of RAY_ADDRESS."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from modelyard_trainer.rundir import RAY_POINTER

MAX_SOCKET_PATH: Final = 107
_LONGEST_BELOW: Final = len("/session_2026-11-21_14-00-00_000000_4194304/sockets/plasma_store_0000")
OBJECT_STORE_BYTES: Final = 200 * 2**20
"""A few training sets; Ray's own default is 30 % of the memory."""
QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # a `uv run` around us must not be run again in every task
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",  # each report waits for the next one; 2 s by default
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


@contextmanager
def ray_session(folder: Path, cpus: int) -> Iterator[Any]:
    """The `ray` module, connected. Call it in the main thread: a local Ray dies with the thread that started it.

    folder: the run's; Ray's own files are in it where its sockets' paths stay short enough, elsewhere beside, noted in
    the folder, and removed afterwards.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # its ports are open to every user of the network
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray  # reads its settings now, once

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address=os.environ["RAY_ADDRESS"], **options)
        try:
            yield ray
        finally:
            ray.shutdown()
        return
    with _temporary(folder) as temporary:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(temporary),
            **options,
        )
        try:
            yield ray
        finally:
            ray.shutdown()


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    inside = folder / "ray"
    if len(str(inside)) + _LONGEST_BELOW <= MAX_SOCKET_PATH:
        inside.mkdir(exist_ok=True)
        place = inside
    else:
        place = Path(tempfile.mkdtemp(prefix="my-ray-"))
    (folder / RAY_POINTER).write_text(str(place))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        (folder / RAY_POINTER).unlink(missing_ok=True)
