"""Contracts between Modelyard services: messages, topics, documents and the codec."""

from modelyard_contracts.messages import *  # noqa: F403
from modelyard_contracts.messages import __all__ as __all__
