"""Messages, topics, manifest and codec: what Modelyard services say to each other."""

from modelyard_contracts.messages import *  # noqa: F403
from modelyard_contracts.messages import __all__ as __all__
