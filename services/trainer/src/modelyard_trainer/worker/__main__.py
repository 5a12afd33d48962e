"""python -m modelyard_trainer.worker RUN_DIR; started by the service."""

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(folder: str) -> int:
    """Exit code. 0: done, failed for good, or another worker has the folder; 1: the service starts another worker."""
    # Before numpy is imported: parallel tasks that use all cores each slow one another down.
    for name in THREADS:
        os.environ.setdefault(name, "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from modelyard_runtime.errors import ModelyardError
    from modelyard_trainer.domain.recipes import AUTO, recipe_named
    from modelyard_trainer.jobs.catalogue import known_recipes
    from modelyard_trainer.jobs.rundir import RunDir, WorkerRuns
    from modelyard_trainer.jobs.warm_ray import WARM_RAY
    from modelyard_trainer.worker.main import run
    from modelyard_trainer.worker.ray_session import import_ray

    def ahead() -> None:
        with suppress(ModelyardError):  # raised again where Ray is needed
            import_ray()

    if WARM_RAY in os.environ:
        Thread(target=ahead, daemon=True).start()  # takes as long as the snapshot
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run_dir = RunDir(Path(folder))
    try:
        with run_dir.held():
            name = run_dir.request["recipe"]
            known = known_recipes(run_dir.request.get("recipes", {}))
            run(run_dir, None if name == AUTO else recipe_named(name, known))
    except WorkerRuns:
        logging.info("another worker has %s", folder)
    except ModelyardError as error:
        if error.retryable:
            logging.error("%s", error)  # noqa: TRY400  the line says it all, and ends the reason of the run
            return 1
        run_dir.fail(str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
