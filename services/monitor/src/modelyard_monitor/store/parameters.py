"""Parameters that several queries share."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from modelyard_contracts.references import DEFAULT_WORKSPACE

FIRST: Final = "1970-01-01 00:00:00.000000"
LAST: Final = "2200-01-01 00:00:00.000000"
"""Parameters in place of moments that were not given."""
IN_WORKSPACES: Final = (
    "({every:UInt8} = 1 OR has({workspaces:Array(String)}, "
    f"if(position(model, ':') = 0, '{DEFAULT_WORKSPACE}', substringIndex(model, ':', 1))))"
)
"""Condition on `model`: its workspace is one of those given. The reference decides, as it does for access."""


def workspaces_given(workspaces: Collection[str] | None) -> dict[str, Any]:
    """Return the parameters of IN_WORKSPACES; None stands for all workspaces."""
    return {"every": int(workspaces is None), "workspaces": sorted(workspaces or ())}


def moment(at: datetime) -> str:
    """Return a UTC moment as a parameter of type DateTime64(6)."""
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")
