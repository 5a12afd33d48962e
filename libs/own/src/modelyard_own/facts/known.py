"""Facts of a model file."""

from dataclasses import dataclass

from modelyard_contracts.signature import Task


@dataclass(frozen=True)
class Facts:
    """What a model's files tell; None and empty where they do not."""

    task: Task | None = None
    classes: tuple[str, ...] = ()
    """Names in the order of the scores."""
    class_count: int | None = None
    features: tuple[str, ...] = ()
    """Names of the inputs, in their order."""
    feature_count: int | None = None
    takes_text: bool = False
    dimension: int | None = None
    """Numbers of a vector, of a model that can embed texts."""
    evidence: str = ""
    """The words of the file, such as `objective multi:softprob`."""


def task_of_classes(count: int) -> Task:
    """Binary for two classes, else multiclass."""
    return Task.BINARY if count == 2 else Task.MULTICLASS
