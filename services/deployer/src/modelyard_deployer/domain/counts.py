"""Counts of the two versions of a rollout."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """Counts of one version since the step started."""

    answers: int = 0
    errors: int = 0
    labelled: int = 0
    wrong: int = 0
    """Labelled predictions of the wrong class."""
    values: int = 0
    """Labelled predictions of a regression model."""
    mean_error: float = 0.0
    """Mean absolute error over `values`, in the unit of the target."""
    error_sd: float = 0.0
    """Sample standard deviation of the absolute error."""


@dataclass(frozen=True)
class Stratum:
    """Both versions during one step."""

    new: Arm = Arm()
    old: Arm = Arm()
