"""The error of a model that cannot be registered as it is."""

from modelyard_contracts.tables.table import UnfitFile


class UnfitModel(UnfitFile):
    """A model, sample or option that cannot be used; the text names the file or option and the remedy."""
