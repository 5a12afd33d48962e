"""python -m modelyard_trainer.online FOLDER; started by the service."""

import logging
import os
import sys
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(folder: str) -> int:
    """Exit code 0: it cannot go on, or another process has the folder; 1: the service starts it again."""
    for name in THREADS:  # before numpy is imported
        os.environ.setdefault(name, "1")
    from modelyard_trainer.domain.errors import BadRequest
    from modelyard_trainer.jobs.rundir import RunDir, WorkerRuns
    from modelyard_trainer.online.follow import follow
    from modelyard_trainer.worker.clickhouse import clickhouse, retrying

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run_dir = RunDir(Path(folder))
    try:
        with run_dir.held():
            follow(run_dir, retrying(clickhouse(run_dir.request["clickhouse"]), logging.warning))
    except WorkerRuns:
        logging.info("another process has %s", folder)
    except BadRequest as error:
        run_dir.fail(str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
