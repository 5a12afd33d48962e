"""Recipe `text-classifier`."""

from modelyard_trainer.recipes.candidates import run_candidates
from modelyard_trainer.recipes.text_model import fit_text
from modelyard_trainer.worker.work import Trained, Work


def run(work: Work) -> Trained:
    """Try several regularisations of a linear text classifier, and fit the winner."""
    return run_candidates(work, fit_text)
