"""One run from its request to its result. Everything it needs is in its folder; everything it leaves is there."""

import importlib
import logging
from functools import partial

from modelyard_contracts.manifest import FeatureSchema
from modelyard_flavours import save_model
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.recipes import Recipe, parse_parameters
from modelyard_trainer.domain.split import split_rows
from modelyard_trainer.jobs.rundir import RunDir, file_digest
from modelyard_trainer.worker.dataset import read_table, rows_of, schema_of
from modelyard_trainer.worker.manifest import manifest_of
from modelyard_trainer.worker.snapshot import Ask, clickhouse, patient, take_snapshot
from modelyard_trainer.worker.work import RunRecipe, SavedFiles, Trained, Work

ASKING = 0.02
DATA_DONE = 0.15
RECIPE_DONE = 0.9
log = logging.getLogger(__name__)


def run(run_dir: RunDir, recipe: Recipe, ask: Ask | None = None) -> None:
    """Do the run; does nothing when its result is there already. BadRequest when it cannot be done at all."""
    if run_dir.result is not None:
        return
    request = run_dir.request
    if request["given_dataset"] is None:
        note = partial(_note, run_dir)
        note("taking a snapshot of labelled predictions")
        take_snapshot(run_dir, request, patient(ask or clickhouse(request["clickhouse"]), note))
    digest = file_digest(run_dir.data)
    work = _work(run_dir, recipe, digest)
    trained = _recipe_of(recipe)(work)
    run_dir.report(progress=RECIPE_DONE, note="writing the model", metrics=trained.metrics)
    fitted = trained.fitted
    if isinstance(fitted, SavedFiles):
        files = fitted.write(run_dir.model)
    else:
        files = save_model(trained.flavour, fitted, run_dir.model)
    manifest = manifest_of(request, digest, work, trained, files)
    run_dir.finish(
        {"manifest": manifest.model_dump(mode="json"), "metrics": trained.metrics, "summary": trained.summary}
    )


def _work(run_dir: RunDir, recipe: Recipe, digest: str) -> Work:
    request = run_dir.request
    if request["given_dataset"] not in (None, digest):
        raise BadRequest(f"dataset: the file is {digest}, asked for was {request['given_dataset']}", field="dataset")
    table = read_table(run_dir.data)
    known = request["feature_schema"]
    schema = schema_of(table, None if known is None else FeatureSchema.model_validate(known))
    rows = rows_of(table, schema)
    live = (run_dir.snapshot or {}).get("live_rows", len(rows))
    split = split_rows(len(rows), request["holdout_rows"], live)
    told = f"{split.train} rows to learn from, {split.used - split.train} to choose by, {split.rows - split.used} kept"
    run_dir.report(progress=DATA_DONE, note=told, dataset_digest=digest)
    run_dir.work.mkdir(exist_ok=True)
    return Work(
        rows=rows,
        split=split,
        schema=schema,
        parameters=parse_parameters(recipe, request["parameters"]),
        folder=run_dir.work,
        ray_cpus=request["ray_cpus"],
        report=partial(_report, run_dir),
    )


def _note(run_dir: RunDir, note: str) -> None:
    run_dir.report(progress=ASKING, note=note)


def _report(run_dir: RunDir, share: float, note: str) -> None:
    run_dir.report(progress=round(DATA_DONE + share * (RECIPE_DONE - DATA_DONE), 4), note=note)


def _recipe_of(recipe: Recipe) -> RunRecipe:
    module, _, name = recipe.run.partition(":")
    function: RunRecipe = getattr(importlib.import_module(module), name)
    return function


__all__ = ["Trained", "run"]
