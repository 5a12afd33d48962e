"""Other registries: what differs on both sides, and taking over from there what no person changed here."""

from modelyard_own.sync.applying import Outcome, Read, Sync, synchronise
from modelyard_own.sync.comparing import Difference, State, What, differences
from modelyard_own.sync.foreign import Fits, ForeignModel, ForeignRegistry, ForeignVersion
from modelyard_own.sync.here import read_here
from modelyard_own.sync.sources import Product, access_of, opened

__all__ = [
    "Difference",
    "Fits",
    "ForeignModel",
    "ForeignRegistry",
    "ForeignVersion",
    "Outcome",
    "Product",
    "Read",
    "State",
    "Sync",
    "What",
    "access_of",
    "differences",
    "opened",
    "read_here",
    "synchronise",
]
