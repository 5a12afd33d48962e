"""References of the inputs of a training run."""

from modelyard_contracts.manifest import FeatureReference
from modelyard_profiles import column_references
from modelyard_trainer.worker.work import Work


def feature_references(work: Work) -> list[FeatureReference]:
    """Return the reference of every input, in the order of the signature."""
    rows, signature = work.used, work.signature
    numbers = {name: rows.numeric[:, place] for place, name in enumerate(signature.numeric)}
    strings = {name: rows.categorical[:, place].tolist() for place, name in enumerate(signature.categorical)}
    return column_references(signature.columns, numbers, strings)
