"""Recipes `tabular-classifier` and `tabular-regressor`."""

from modelyard_trainer.recipes.candidates import run_candidates
from modelyard_trainer.recipes.estimators import fit_tabular
from modelyard_trainer.worker.work import Trained, Work


def run(work: Work) -> Trained:
    """Try linear, boosted and forest models, and fit the winner."""
    return run_candidates(work, fit_tabular)
