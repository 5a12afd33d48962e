"""python -m modelyard_trainer.worker.ray_host DIR CPUS [MODULE...]: a local Ray that several runs share.

DIR/address.json holds the address once Ray is ready; the token is in the environment of this process and the workers.
DIR/worker.lock is locked while this process lives. It ends when its standard input closes, so it does not outlive the
service. Its fitters import the modules. Started by jobs/warm_ray.py.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from modelyard_trainer.domain.errors import RayMissing, RayNotStarted
from modelyard_trainer.jobs.rundir import RunDir, WorkerRuns, write_json
from modelyard_trainer.jobs.warm_ray import ADDRESS


def main(folder: Path, cpus: int, modules: Sequence[str]) -> int:
    """Exit code. 0: stopped; 1: another process has the folder; 2: Ray cannot be imported or does not start."""
    os.umask(0o077)
    signal.signal(signal.SIGTERM, _end)
    try:
        with RunDir(folder).held():
            _serve(folder, cpus, modules)
    except WorkerRuns:
        return 1
    except (RayMissing, RayNotStarted) as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    return 0


def _serve(folder: Path, cpus: int, modules: Sequence[str]) -> None:
    from modelyard_trainer.worker.fitters import start_fitters
    from modelyard_trainer.worker.ray_session import own_ray

    address = folder / ADDRESS
    address.unlink(missing_ok=True)
    with own_ray(folder, cpus) as ray:
        fitters = start_fitters(ray, cpus, modules)
        found = ray.get_runtime_context().gcs_address
        write_json(address, {"pid": os.getpid(), "address": found, "fitters": list(fitters)})
        try:
            sys.stdin.buffer.read()
        finally:
            address.unlink(missing_ok=True)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
