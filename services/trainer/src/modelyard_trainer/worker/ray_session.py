"""Ray for one run: the cluster of RAY_ADDRESS, the service's warm one, or a local one that begins and ends with it."""

import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from modelyard_trainer.rundir import RAY_POINTER, RunDir
from modelyard_trainer.warm_ray import WARM_RAY, connection

MAX_SOCKET_PATH: Final = 107
_LONGEST_BELOW: Final = len("/session_2026-11-21_14-00-00_000000_4194304/sockets/plasma_store_0000")
OBJECT_STORE_BYTES: Final = 200 * 2**20
"""A few training sets; Ray's own default is 30 % of the memory."""
WARM_START_S: Final = 90.0
WATCH_S: Final = 0.5
"""How often to look whether the shared Ray lives."""
QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # a `uv run` around us must not be run again in every task
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",  # each report waits for the next one; 2 s by default
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


OPTIONS: Final[dict[str, Any]] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}


@contextmanager
def ray_session(folder: Path, cpus: int) -> Iterator[Any]:
    """The `ray` module, connected: to RAY_ADDRESS, to the service's warm Ray, or to one of the run's own.

    Call it in the main thread: a local Ray dies with the thread that started it. folder: the run's.
    """
    if os.environ.get("RAY_ADDRESS"):
        session = _joined(os.environ["RAY_ADDRESS"])
    elif os.environ.get(WARM_RAY):
        session = _shared(Path(os.environ[WARM_RAY]))
    else:
        session = own_ray(folder, cpus)
    with session as ray:
        yield ray


@contextmanager
def own_ray(folder: Path, cpus: int) -> Iterator[Any]:
    """A local Ray that ends with the block.

    Ray's own files are in the folder where its sockets' paths stay short enough, elsewhere beside, noted in the folder,
    and removed afterwards.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # its ports are open to every user of the network
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    ray = _module()
    with _temporary(folder) as temporary:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(temporary),
            **OPTIONS,
        )
        try:
            yield ray
        finally:
            ray.shutdown()


@contextmanager
def _joined(address: str, **options: Any) -> Iterator[Any]:
    ray = _module()
    ray.init(address=address, **OPTIONS, **options)
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _shared(host: Path) -> Iterator[Any]:
    found = _awaited(host)
    os.environ.update(found["env"])
    left = threading.Event()
    threading.Thread(target=_end_with, args=(host, found["pid"], left), daemon=True).start()
    try:
        with _joined(found["address"], _node_ip_address="127.0.0.1") as ray:
            yield ray
    finally:
        left.set()


def _awaited(host: Path) -> dict[str, Any]:
    deadline = time.monotonic() + WARM_START_S
    while time.monotonic() < deadline:
        found = connection(host)
        if found is not None:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"the shared Ray was not there after {WARM_START_S:.0f} s; see {host / 'log.txt'}")


def _end_with(host: Path, pid: int, left: threading.Event) -> None:
    """Without its Ray a driver may wait for minutes; a worker that ends is started again, with a new Ray."""
    while not left.wait(WATCH_S):
        if RunDir(host).holder != pid:
            print("the shared Ray has ended, and so do I", file=sys.stderr, flush=True)
            os._exit(1)


def _module() -> Any:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray  # reads its settings now, once

    return ray


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
