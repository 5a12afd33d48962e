"""The variables that a backtest's own stack starts with: none of them may lead to a platform in use."""

from collections.abc import Mapping
from typing import Final

from modelyard_cli.stack.layout import SERVICES

_ADDRESSES: Final = ("_URL", "_FILE", "_DIR", "_HOST", "_PORT")
"""Suffixes of settings that are addresses or paths; other settings change the behaviour of a service and stay."""
_SERVICES: Final = tuple(f"{spec.name.upper()}_" for spec in SERVICES)
_SHARED: Final = ("KAFKA_", "CLICKHOUSE_", "MODELYARD_SERVICE_KEY", "MODELYARD_SIGNING_KEY", "MODELYARD_TRUST")
_NAMES: Final = frozenset({"MODELYARD_ADMIN_KEY_FILE", "SERVING_TOKEN_FILE", "RAY_ADDRESS", "DATABASE_URL"})
_KEPT: Final = frozenset({"KAFKA_HOME"})
"""An installation of Kafka, of which the stack starts a broker of its own."""


def isolated(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without addresses and credentials of a platform, so that the stack starts servers of its own."""
    return {name: value for name, value in environ.items() if name in _KEPT or not _leads_elsewhere(name)}


def _leads_elsewhere(name: str) -> bool:
    of_a_service = name.startswith(_SERVICES) and name.endswith(_ADDRESSES)
    return name in _NAMES or name.startswith(_SHARED) or of_a_service
