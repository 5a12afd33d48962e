"""Ray for one run: the cluster of RAY_ADDRESS, the service's warm Ray, or a local one that lives as long as the run."""

import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from modelyard_trainer.domain.errors import ClusterAway, RayMissing, RayNotStarted
from modelyard_trainer.jobs.rundir import RAY_POINTER, RunDir
from modelyard_trainer.jobs.warm_ray import WARM_RAY, connection
from modelyard_trainer.worker.watch import ending_with

MAX_SOCKET_PATH: Final = 107
_LONGEST_BELOW: Final = len("/session_2026-11-21_14-00-00_000000_4194304/sockets/plasma_store_0000")
OBJECT_STORE_BYTES: Final = 200 * 2**20
"""Room for a few training sets; Ray's own default is 30 % of the memory."""
WARM_START_S: Final = 90.0
CLUSTER_WAIT_S: Final = 60.0
"""How long a cluster may be unreachable, such as during a restart of its head."""
CONNECT_S: Final = 5.0
QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # an outer `uv run` must not be repeated in every task
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",  # each report waits for the next one; 2 s by default
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


OPTIONS: Final[dict[str, Any]] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}


@contextmanager
def ray_session(folder: Path, cpus: int) -> Iterator[Any]:
    """Yield the `ray` module, connected to RAY_ADDRESS, the service's warm Ray, or a Ray of the run's own.

    Call it in the main thread: a local Ray ends with the thread that started it. folder: the run's folder.
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
    """Start a local Ray that ends with the block.

    Ray's files are in `folder` if the paths of its sockets stay short enough, else in a temporary folder that is noted
    there; they are deleted afterwards.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # its ports are open to every user of the network
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    ray = import_ray()
    with _temporary(folder) as temporary:
        _start(ray, cpus, temporary)
        try:
            yield ray
        finally:
            ray.shutdown()


def _start(ray: Any, cpus: int, temporary: Path) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(temporary),
            **OPTIONS,
        )
    except Exception as error:  # a node that starts too slowly is a bare Exception
        raise RayNotStarted(error) from error


@contextmanager
def _joined(address: str) -> Iterator[Any]:
    ray = import_ray()
    await_cluster(address)
    ray.init(address=address, **OPTIONS)
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _shared(host: Path) -> Iterator[Any]:
    """Connect to the shared Ray. The connection ends with the process, so that a result does not wait for it.

    A driver may wait for minutes for a dead Ray, so this process ends with it; the service starts another worker.
    """
    ray = import_ray()  # while Ray may still be starting
    found = _awaited(host)
    with ending_with(RunDir(host), found["pid"], "the shared Ray"):
        ray.init(address=found["address"], _node_ip_address="127.0.0.1", **OPTIONS)
        yield ray


def _awaited(host: Path) -> dict[str, Any]:
    deadline = time.monotonic() + WARM_START_S
    while time.monotonic() < deadline:
        found = connection(host)
        if found is not None:
            return found
        time.sleep(0.05)
    tail = RunDir(host).log_tail
    raise TimeoutError(
        f"the shared Ray was not ready after {WARM_START_S:.0f} s; its log {host / 'log.txt'} ends: {tail}"
    )


def await_cluster(address: str, wait_s: float = CLUSTER_WAIT_S) -> None:
    """Return once `host:port` accepts connections; ClusterAway after wait_s. Ray itself would retry for ten minutes.

    An address without a port (`auto`) is left to Ray.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return
    deadline = time.monotonic() + wait_s
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
            return
        except (OSError, OverflowError) as error:
            if time.monotonic() >= deadline:
                raise ClusterAway(
                    f"RAY_ADDRESS: no Ray cluster answers at {address} ({error}); start it, correct RAY_ADDRESS, or "
                    "unset it for a local Ray"
                ) from error
        time.sleep(min(1.0, wait_s))


def import_ray() -> Any:
    """Import Ray, which reads its settings and the token at the first import. RayMissing if it is not installed."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise RayMissing(error) from error

    return ray


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    inside = folder / "ray"
    if len(str(inside)) + _LONGEST_BELOW <= MAX_SOCKET_PATH:
        inside.mkdir(exist_ok=True)
        root = inside
    else:
        root = Path(tempfile.mkdtemp(prefix="my-ray-"))
    (folder / RAY_POINTER).write_text(str(root))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
        (folder / RAY_POINTER).unlink(missing_ok=True)
