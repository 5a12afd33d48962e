"""Class balance of a run's rows: the metric that chooses, and held-out rows that can judge."""

from typing import Any

import numpy as np

from modelyard_contracts.balance import class_metric
from modelyard_contracts.signature import Signature
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.recipes import AUTO_METRIC
from modelyard_trainer.domain.split import Split
from modelyard_trainer.worker.dataset import Dataset
from modelyard_trainer.worker.work import Rows


def with_metric(parameters: Any, rows: Rows, signature: Signature) -> Any:
    """The parameters of a recipe with a metric for the class balance of the rows, unless they name one."""
    if getattr(parameters, "metric", None) != AUTO_METRIC:
        return parameters
    counts = np.bincount(rows.targets, minlength=len(signature.classes))
    return parameters.model_copy(update={"metric": class_metric(counts.tolist())})


def check_held_out(rows: Rows, split: Split, data: Dataset) -> None:
    """BadRequest if the held-out rows of a given dataset have one class only: they cannot judge a version."""
    held = rows.targets[split.used :]
    if data.signature.task.classifies and len(np.unique(held)) == 1 and len(np.unique(rows.targets)) > 1:
        name = data.signature.classes[int(held[0])]
        raise BadRequest(
            f"dataset: the newest {len(held)} rows all have {name[:40]!r} as {data.target[:40]!r}, so they cannot "
            "judge a version; put the rows in the order of time, not of the target, or shuffle them",
            field="dataset",
        )
