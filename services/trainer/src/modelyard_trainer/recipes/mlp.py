"""Recipe `torch-mlp`: a perceptron by Ray Train; workers average gradients over gloo, and each epoch is a checkpoint.

A worker of Ray that dies restarts its group from the last checkpoint; a run that is started again does so too.
"""

import json
import math
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard_flavours import Encoding, FittedMlp
from modelyard_flavours.mlp_flavour import MlpPredictor
from modelyard_trainer.domain.recipes import MlpParameters
from modelyard_trainer.recipes.metrics import figures
from modelyard_trainer.worker.ray_session import ray_session
from modelyard_trainer.worker.work import FloatArray, Rows, Trained, Work

MAX_FAILURES: Final = 2
"""Group restarts before the run is given up."""
WEIGHTS: Final = "weights.npz"
STATE: Final = "state.json"
ROOM_CPUS: Final = 1
"""Beside the workers, for Ray Train's own controller."""


def run(work: Work) -> Trained:
    """Fit on training rows to judge, then on all usable rows, from scratch, for as many epochs as served best."""
    parameters: MlpParameters = work.parameters
    encoding = Encoding.learn(work.used.numeric, work.used.categorical, work.schema.classes)
    work.tell(0.0, "starting Ray")
    with ray_session(work.folder.parent, max(work.ray_cpus, parameters.workers + ROOM_CPUS)) as ray:
        work.tell(0.1, f"training on {len(work.train)} rows with {parameters.workers} workers")
        judged = _fit(ray, work, encoding, work.train, work.validation, "judge", parameters.epochs)
        scores = MlpPredictor(judged["tensors"], encoding).predict(work.validation.numeric, work.validation.categorical)
        best = int(judged["best_epoch"]) + 1
        work.tell(0.6, f"training on all {len(work.used)} rows for {best} epochs")
        final = _fit(ray, work, encoding, work.used, None, "final", best)
    found = figures(work.validation.labels, scores)
    return Trained(
        flavour="torch-mlp",
        fitted=FittedMlp(final["tensors"], encoding),
        validation_scores=scores,
        summary=f"perceptron: validation accuracy {found['accuracy']:.4f} after {best} epochs",
        metrics={f"validation_{name}": round(value, 6) for name, value in found.items()} | {"epochs": float(best)},
        facts={"epochs_used": str(best)},
    )


def _fit(
    ray: Any, work: Work, encoding: Encoding, train: Rows, validation: Rows | None, name: str, epochs: int
) -> dict[str, Any]:
    """One training by Ray Train; tensors of the best epoch (without validation the last) and its number."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    mean, scale = _scaling(encoding.matrix(train.numeric, train.categorical))
    config = {
        "parameters": work.parameters.model_dump(),
        "epochs": epochs,
        "classes": len(encoding.classes),
        "train": ray.put((_scaled(train, encoding, mean, scale), train.labels)),
        "validation": None
        if validation is None
        else ray.put((_scaled(validation, encoding, mean, scale), validation.labels)),
    }
    trainer = TorchTrainer(
        train_loop,
        train_loop_config=config,
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=work.parameters.workers, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(
            name=name,
            storage_path=str(work.folder),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    checkpoint = trainer.fit().checkpoint
    if checkpoint is None:
        raise RuntimeError(f"Ray Train ended {name} without a checkpoint")
    with checkpoint.as_directory() as folder:
        weights = dict(np.load(Path(folder) / f"best-{WEIGHTS}"))
        state = json.loads((Path(folder) / STATE).read_text())
    tensors = {**weights, "input.mean": mean.astype(np.float32), "input.scale": scale.astype(np.float32)}
    return {"tensors": tensors, "best_epoch": state["best_epoch"]}


def _scaling(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and spread of each column; a column without spread, or without values, is left as it is."""
    filled = np.isfinite(matrix)
    count = np.maximum(filled.sum(axis=0), 1)
    mean = np.where(filled, matrix, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(filled, matrix - mean, 0) ** 2).sum(axis=0) / count)
    return mean, np.where(spread > 1e-9, spread, 1.0)


def _scaled(rows: Rows, encoding: Encoding, mean: FloatArray, scale: FloatArray) -> Any:
    return np.nan_to_num((encoding.matrix(rows.numeric, rows.categorical) - mean) / scale).astype(np.float32)


def train_loop(config: dict[str, Any]) -> None:
    """Runs in each of Ray Train's workers: its share of each epoch's rows; the first one writes checkpoints."""
    import ray
    import torch
    from ray import train
    from ray.train.torch import prepare_model

    parameters = config["parameters"]
    torch.set_num_threads(1)
    torch.manual_seed(parameters["seed"])
    context = train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    rows, labels = (torch.from_numpy(np.array(part)) for part in ray.get(config["train"]))
    held = None if config["validation"] is None else [np.array(part) for part in ray.get(config["validation"])]
    layers = _network(torch, rows.shape[1], parameters["hidden"], config["classes"])
    model = prepare_model(layers)
    optimiser = torch.optim.Adam(model.parameters(), lr=parameters["learning_rate"])
    state = _resumed(torch, layers, optimiser)
    for epoch in range(state["epoch"] + 1, config["epochs"]):
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(parameters["seed"] + epoch))
        each = len(rows) // size  # the same number everywhere, or the slower one waits for ever
        mine = order[rank * each : (rank + 1) * each]
        model.train()
        for batch in mine.split(parameters["batch_rows"]):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(rows[batch]), labels[batch]).backward()
            optimiser.step()
        loss = _loss(torch, layers, held)
        better = held is None or loss < state["best_loss"]
        state = {
            "epoch": epoch,
            "best_epoch": epoch if better else state["best_epoch"],
            "best_loss": loss if better else state["best_loss"],
            "best": _weights(layers) if better else state["best"],
        }
        _report(train, torch, layers, optimiser, state, rank)


def _network(torch: Any, width: int, hidden: tuple[int, ...], classes: int) -> Any:
    sizes = [width, *hidden, classes]
    parts: list[Any] = []
    for place in range(len(sizes) - 1):
        parts += [torch.nn.Linear(sizes[place], sizes[place + 1]), torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def _weights(layers: Any) -> dict[str, Any]:
    """By the flavour's names: layers.n counts linear layers only."""
    linear = [part for part in layers if hasattr(part, "weight")]
    named: dict[str, Any] = {}
    for place, part in enumerate(linear):
        named[f"layers.{place}.weight"] = part.weight.detach().numpy().copy()
        named[f"layers.{place}.bias"] = part.bias.detach().numpy().copy()
    return named


def _loss(torch: Any, layers: Any, held: list[Any] | None) -> float:
    if held is None:
        return math.inf
    layers.eval()
    with torch.no_grad():
        raw = layers(torch.from_numpy(held[0]))
        return float(torch.nn.functional.cross_entropy(raw, torch.from_numpy(held[1])))


def _resumed(torch: Any, layers: Any, optimiser: Any) -> dict[str, Any]:
    """Where the last checkpoint stopped, loaded into model and optimiser; the very beginning when there is none."""
    from ray import train

    checkpoint = train.get_checkpoint()
    if checkpoint is None:
        return {"epoch": -1, "best_epoch": 0, "best_loss": math.inf, "best": _weights(layers)}
    with checkpoint.as_directory() as folder:
        saved = torch.load(Path(folder) / "torch.pt", weights_only=True)
        layers.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        state: dict[str, Any] = json.loads((Path(folder) / STATE).read_text())
        best = dict(np.load(Path(folder) / f"best-{WEIGHTS}"))
    return {**state, "best_loss": float(state["best_loss"]), "best": best}


def _report(train: Any, torch: Any, layers: Any, optimiser: Any, state: dict[str, Any], rank: int) -> None:
    """Every worker reports; the first one's report carries the checkpoint."""
    metrics = {"epoch": state["epoch"], "best_epoch": state["best_epoch"]}
    if rank != 0:
        train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"model": layers.state_dict(), "optimiser": optimiser.state_dict()}, Path(folder) / "torch.pt")
        np.savez(Path(folder) / f"best-{WEIGHTS}", **state["best"])
        told = {**{name: state[name] for name in ("epoch", "best_epoch")}, "best_loss": str(state["best_loss"])}
        (Path(folder) / STATE).write_text(json.dumps(told))
        train.report(metrics, checkpoint=train.Checkpoint.from_directory(folder))
