"""One run from its request to its result; all inputs and outputs are in the run's folder."""

import importlib
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import numpy as np

from modelyard_contracts.documents import read
from modelyard_contracts.manifest import ManifestFile
from modelyard_contracts.policies import RetrainPolicy
from modelyard_contracts.signature import Signature
from modelyard_flavours import save_model
from modelyard_trainer.domain.data import DataSpec, unused_columns
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.recipes import RECIPES, Recipe, check_fits, default_recipe, parse_parameters
from modelyard_trainer.domain.split import Split, split_rows
from modelyard_trainer.domain.windows import Windows, windows_of
from modelyard_trainer.jobs.rundir import RunDir, file_digest
from modelyard_trainer.worker.balance import check_held_out, with_metric
from modelyard_trainer.worker.clickhouse import Query, clickhouse, retrying
from modelyard_trainer.worker.dataset import Dataset, rows_of
from modelyard_trainer.worker.manifest import final_metrics, manifest_of
from modelyard_trainer.worker.signature import signature_of
from modelyard_trainer.worker.snapshot import take_snapshot
from modelyard_trainer.worker.table import column_types, read_table
from modelyard_trainer.worker.work import Rows, RunRecipe, SavedFiles, Trained, Work

QUERYING: Final = 0.02
DATA_DONE: Final = 0.15
RECIPE_DONE: Final = 0.9
DEFAULTS: Final = RetrainPolicy()


def run(run_dir: RunDir, recipe: Recipe | None, query: Query | None = None) -> None:
    """Do the run, unless its result exists already. BadRequest if it cannot be done at all.

    recipe: None selects the built-in recipe for the data's task.
    """
    if run_dir.result is not None:
        return
    request = run_dir.request
    if request["given_dataset"] is None:
        note = partial(_note, run_dir)
        note("taking a snapshot of labelled predictions")
        take_snapshot(run_dir, request, retrying(query or clickhouse(request["clickhouse"]), note), note)
    digest = file_digest(run_dir.data)
    data, notes = _dataset(run_dir, request, digest)
    recipe = recipe or RECIPES[default_recipe(data.signature)]
    work = _work(run_dir, request, recipe, data, digest)
    trained = _function_of(recipe)(work)
    run_dir.report(progress=RECIPE_DONE, note="writing the model", metrics=trained.metrics)
    fitted = trained.fitted
    files = (
        fitted.write(run_dir.model)
        if isinstance(fitted, SavedFiles)
        else save_model(trained.flavour, fitted, run_dir.model)
    )
    metrics = {**trained.metrics, **final_metrics(work, trained)}
    manifest = manifest_of(request, recipe.name, digest, work, trained, metrics, files, (data.target, data.time))
    file = ManifestFile.write(manifest)
    run_dir.write_manifest(file.data)
    summary = ". ".join((trained.summary, *notes))
    run_dir.finish(
        {
            "manifest_digest": file.digest,
            "dataset_digest": digest,
            "recipe": recipe.name,
            "metrics": metrics,
            "summary": summary,
        }
    )


def _dataset(run_dir: RunDir, request: dict[str, Any], digest: str) -> tuple[Dataset, tuple[str, ...]]:
    """Read the rows and find their signature; the notes name columns that are not used."""
    if request["given_dataset"] not in (None, digest):
        raise BadRequest(f"dataset: the file is {digest}, requested was {request['given_dataset']}", field="dataset")
    spec = DataSpec.model_validate(request["data"])
    known = None if request["signature"] is None else read(Signature, request["signature"])
    if (snapshot := run_dir.snapshot) is not None:
        spec = spec.model_copy(update={"target": snapshot["target"], "time": snapshot["time"], "new_contract": False})
    table, time = read_table(run_dir.data, spec, datetime.fromisoformat(request["as_of"]).timestamp())
    signature = signature_of(table, spec, time, known)
    own = {spec.target, time, "" if snapshot is None else snapshot["id"]}
    unused = unused_columns(signature, column_types(table), own)
    notes = (f"columns not in the signature were not used: {', '.join(unused)}",) if unused else ()
    return Dataset(table, signature, spec.target, time), notes


def _work(run_dir: RunDir, request: dict[str, Any], recipe: Recipe, data: Dataset, digest: str) -> Work:
    check_fits(recipe, data.signature)
    rows = rows_of(data)
    parameters = with_metric(parse_parameters(recipe, request["parameters"]), rows, data.signature)
    split = _split(run_dir, request, rows, data.signature)
    if request["given_dataset"] is not None:
        check_held_out(rows, split, data)
    older = f", {split.first} older ones for other windows" if split.first else ""
    used = split.used - split.first
    counts = f"{used} rows to learn from and to choose by{older}, {split.rows - split.used} held out"
    run_dir.report(progress=DATA_DONE, note=counts, dataset_digest=digest, rows=split.rows, recipe=recipe.name)
    run_dir.work.mkdir(exist_ok=True)
    return Work(
        rows=rows,
        split=split,
        signature=data.signature,
        parameters=parameters,
        folder=run_dir.work,
        ray_cpus=request["ray_cpus"],
        report=partial(_report, run_dir),
        learn_holdout=request.get("learn_holdout", False),  # absent in runs that an older release prepared
        given_windows=windows_requested(request, rows, split),
    )


def _split(run_dir: RunDir, request: dict[str, Any], rows: Rows, signature: Signature) -> Split:
    """The split of the usual window, with the older rows before it: none for a given dataset without windows."""
    whole = request["given_dataset"] is not None and not request.get("windows")
    older = 0 if whole else max(0, len(rows) - request["window_rows"])
    usual = rows.part(older, len(rows))
    live = min((run_dir.snapshot or {}).get("live_rows", len(usual)), len(usual))
    targets = usual.targets.tolist() if signature.task.classifies else None
    return split_rows(len(usual), request["holdout_rows"], live, targets).after(older)


def windows_requested(request: dict[str, Any], rows: Rows, split: Split) -> Windows:
    """The windows of a request; requests of an older release have none."""
    change, at = None, request.get("change_at")
    if at is not None:
        moment = np.datetime64(datetime.fromisoformat(at).astimezone(UTC).replace(tzinfo=None), "us")
        change = int(np.searchsorted(rows.times, moment, side="left"))
    names = tuple(request.get("windows") or ("all" if not split.first else "recent",))
    return windows_of(names, split, request.get("half_life_rows", DEFAULTS.half_life_rows), change)


def _note(run_dir: RunDir, note: str) -> None:
    run_dir.report(progress=QUERYING, note=note)


def _report(run_dir: RunDir, share: float, note: str) -> None:
    run_dir.report(progress=round(DATA_DONE + share * (RECIPE_DONE - DATA_DONE), 4), note=note)


def _function_of(recipe: Recipe) -> RunRecipe:
    module, _, name = recipe.run.partition(":")
    function: RunRecipe = getattr(importlib.import_module(module), name)
    return function


__all__ = ["Trained", "run"]
