"""Recipe `torch-mlp`: a perceptron trained by Ray Train; workers average gradients, each epoch is a checkpoint.

If one of Ray's workers dies, its group restarts from the last checkpoint; so does a restarted run.
"""

import importlib
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard_flavours import Encoding, FittedMlp, predictor_of
from modelyard_flavours.mlp_flavour import MlpPredictor, scaled
from modelyard_trainer.domain.recipes import MlpParameters
from modelyard_trainer.worker.metrics import figures
from modelyard_trainer.worker.ray_session import ray_session
from modelyard_trainer.worker.work import FloatArray, Rows, Trained, Work

MAX_FAILURES: Final = 2
"""Restarts of the group before the run fails."""
STATE: Final = "state.pt"
TRAINING: Final = "training"
"""Ray Train's name of the run: a folder below the run's own, where a restarted run finds its checkpoints."""
JUDGED: Final = "judged"
FINAL: Final = "final"
ROOM_CPUS: Final = 1
"""CPUs for Ray Train's own controller, besides the workers."""


def run(work: Work) -> Trained:
    """Fit on training rows to find the best number of epochs, then from scratch on all usable rows."""
    parameters: MlpParameters = work.parameters
    encoding = Encoding.learn(work.used.numeric, work.used.categorical, work.signature.classes)
    work.report(0.0, "starting Ray")
    with ray_session(work.folder.parent, max(work.ray_cpus, parameters.workers + ROOM_CPUS)) as ray:
        work.report(0.2, f"training on {len(work.train)} rows with {parameters.workers} workers")
        state, mean, scale = _fit(ray, work, encoding)
    scaling = {"input.mean": mean.astype(np.float32), "input.scale": scale.astype(np.float32)}
    judged = MlpPredictor({**state[JUDGED], **scaling}, encoding)
    final = FittedMlp({**state[FINAL], **scaling}, encoding)
    found = figures(work.validation.targets, judged.predict(work.validation.numeric, work.validation.categorical))
    epochs = int(state["best_epoch"]) + 1
    return Trained(
        flavour="torch-mlp",
        fitted=final,
        holdout_outputs=predictor_of("torch-mlp", final).predict(work.holdout.numeric, work.holdout.categorical),
        summary=f"perceptron: validation accuracy {found['accuracy']:.4f} after {epochs} epochs",
        metrics={f"validation_{name}": round(value, 6) for name, value in found.items()} | {"epochs": float(epochs)},
        facts={"epochs_used": str(epochs)},
    )


def _fit(ray: Any, work: Work, encoding: Encoding) -> tuple[dict[str, Any], FloatArray, FloatArray]:
    """Do both fits in one group of Ray Train's workers: its start takes longer than the training."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    # Scaled by what the judged model may see; the final one shares it, so that both see the same numbers.
    mean, scale = _scaling(encoding.matrix(work.train.numeric, work.train.categorical))
    config = {
        "parameters": work.parameters.model_dump(),
        "classes": len(encoding.classes),
        "train_rows": len(work.train),
        "rows": ray.put((_scaled(work.used, encoding, mean, scale), work.used.targets)),
    }
    trainer = TorchTrainer(
        train_loop,
        train_loop_config=config,
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=work.parameters.workers, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(
            name=TRAINING,
            storage_path=str(work.folder),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    checkpoint = trainer.fit().checkpoint
    if checkpoint is None:
        raise RuntimeError("Ray Train ended without a checkpoint")
    with checkpoint.as_directory() as folder:
        return _read_state(Path(folder)), mean, scale


def _scaling(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each column; 0 and 1 for a column without values or variance."""
    filled = np.isfinite(matrix)
    count = np.maximum(filled.sum(axis=0), 1)
    mean = np.where(filled, matrix, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(filled, matrix - mean, 0) ** 2).sum(axis=0) / count)
    return mean, np.where(spread > 1e-9, spread, 1.0)


def _scaled(rows: Rows, encoding: Encoding, mean: FloatArray, scale: FloatArray) -> Any:
    return scaled(encoding.matrix(rows.numeric, rows.categorical), mean, scale)


def train_loop(config: dict[str, Any]) -> None:
    """Runs in each of Ray Train's workers, on its share of each epoch's rows; the first one writes checkpoints.

    First the judged network, fitted on the training rows and judged on the rows after them; then the final one, on all
    rows, for the best number of epochs. All workers have the same weights, so they take the same decisions.
    """
    import ray

    torch: Any = importlib.import_module("torch")
    parameters, split = config["parameters"], config["train_rows"]
    torch.set_num_threads(1)
    rows, labels = (torch.from_numpy(np.array(part)) for part in ray.get(config["rows"]))
    state = _resumed()
    if state["stage"] == JUDGED:
        held = (rows[split:], labels[split:])
        for epoch, layers in _epochs(torch, config, rows[:split], labels[:split], state, parameters["epochs"]):
            loss = _loss(torch, layers, held)
            if loss < state["best_loss"] or epoch == 0:
                state |= {"best_epoch": epoch, "best_loss": loss, JUDGED: _weights(layers)}
            _report(torch, state)
        state |= {"stage": FINAL, "epoch": -1, "model": None, "optimiser": None}
    for _, layers in _epochs(torch, config, rows, labels, state, state["best_epoch"] + 1):
        state[FINAL] = _weights(layers)
        _report(torch, state)


def _epochs(
    torch: Any, config: dict[str, Any], rows: Any, labels: Any, state: dict[str, Any], epochs: int
) -> Iterator[tuple[int, Any]]:
    """Train from where `state` stopped; updates `state` and yields (epoch, network) after each epoch."""
    from ray import train
    from ray.train.torch import prepare_model

    parameters, context = config["parameters"], train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(parameters["seed"])
    layers = _network(torch, rows.shape[1], parameters["hidden"], config["classes"])
    optimiser = torch.optim.Adam(layers.parameters(), lr=parameters["learning_rate"])
    if state["model"] is not None:
        layers.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
    model = prepare_model(layers)
    each = len(rows) // size  # equal shares: a worker with more batches would wait for ever
    for epoch in range(state["epoch"] + 1, epochs):
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(parameters["seed"] + epoch))
        for batch in order[rank * each : (rank + 1) * each].split(parameters["batch_rows"]):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(rows[batch]), labels[batch]).backward()
            optimiser.step()
        state |= {"epoch": epoch, "model": layers.state_dict(), "optimiser": optimiser.state_dict()}
        yield epoch, layers


def _network(torch: Any, width: int, hidden: tuple[int, ...], classes: int) -> Any:
    sizes = [width, *hidden, classes]
    parts: list[Any] = []
    for place in range(len(sizes) - 1):
        parts += [torch.nn.Linear(sizes[place], sizes[place + 1]), torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def _weights(layers: Any) -> dict[str, Any]:
    """Weights by the flavour's names: layers.n counts linear layers only."""
    linear = [part for part in layers if hasattr(part, "weight")]
    named: dict[str, Any] = {}
    for place, part in enumerate(linear):
        named[f"layers.{place}.weight"] = part.weight.detach().numpy().copy()
        named[f"layers.{place}.bias"] = part.bias.detach().numpy().copy()
    return named


def _loss(torch: Any, layers: Any, held: tuple[Any, Any]) -> float:
    with torch.no_grad():
        return float(torch.nn.functional.cross_entropy(layers(held[0]), held[1]))


def _resumed() -> dict[str, Any]:
    """The state of the last checkpoint, or the initial one."""
    from ray import train

    checkpoint = train.get_checkpoint()
    if checkpoint is None:
        fresh = {"stage": JUDGED, "epoch": -1, "best_epoch": 0, "best_loss": math.inf, "model": None, "optimiser": None}
        return {**fresh, JUDGED: {}, FINAL: {}}
    with checkpoint.as_directory() as folder:
        return _read_state(Path(folder))


def _report(torch: Any, state: dict[str, Any]) -> None:
    """Report from every worker; the first one adds the checkpoint."""
    from ray import train

    metrics = {"epoch": state["epoch"], "best_epoch": state["best_epoch"]}
    if train.get_context().get_world_rank() != 0:
        train.report(metrics)
        return
    tensors = {name: {key: torch.from_numpy(value) for key, value in state[name].items()} for name in (JUDGED, FINAL)}
    with tempfile.TemporaryDirectory() as folder:
        torch.save({**state, **tensors}, Path(folder) / STATE)
        train.report(metrics, checkpoint=train.Checkpoint.from_directory(folder))


def _read_state(folder: Path) -> dict[str, Any]:
    """Read a checkpoint; weights_only: it is data and must not contain code."""
    torch: Any = importlib.import_module("torch")
    state: dict[str, Any] = torch.load(folder / STATE, weights_only=True)
    return state | {name: {key: value.numpy() for key, value in state[name].items()} for name in (JUDGED, FINAL)}
