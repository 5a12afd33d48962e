"""The only place that opens model artifacts: verify the digest, check what is inside, then load."""

from modelyard_flavours.echo_flavour import Echo
from modelyard_flavours.encoding import Encoding
from modelyard_flavours.errors import (
    FlavourError,
    Inadmissible,
    MissingExtra,
    ProviderError,
    UnknownFlavour,
    Unloadable,
)
from modelyard_flavours.flavours import (
    FLAVOURS,
    FOREIGN_FLAVOURS,
    check_admissible,
    environment,
    load_generator,
    load_model,
    needs_confinement,
    options,
    predictor_of,
    save_model,
)
from modelyard_flavours.lean import without_unneeded
from modelyard_flavours.mlp_flavour import FittedMlp
from modelyard_flavours.online_flavour import FittedOnline
from modelyard_flavours.predictor import Generator, Predictor
from modelyard_flavours.sklearn_flavour import FittedSklearn
from modelyard_flavours.text_flavour import FittedText, TermVectors, Vocabulary

__all__ = [
    "FLAVOURS",
    "FOREIGN_FLAVOURS",
    "Echo",
    "Encoding",
    "FittedMlp",
    "FittedOnline",
    "FittedSklearn",
    "FittedText",
    "FlavourError",
    "Generator",
    "Inadmissible",
    "MissingExtra",
    "Predictor",
    "ProviderError",
    "TermVectors",
    "UnknownFlavour",
    "Unloadable",
    "Vocabulary",
    "check_admissible",
    "environment",
    "load_generator",
    "load_model",
    "needs_confinement",
    "options",
    "predictor_of",
    "save_model",
    "without_unneeded",
]
