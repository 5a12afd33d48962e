"""Route plans for tests."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from modelyard_contracts import RoutePublished
from modelyard_contracts.documents import canonical_json
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id

from .replica import DIGEST_1

ELEC = Signature(
    columns=(
        Column(name="price"),
        Column(name="colour", type=ColumnType.CATEGORY),
        Column(name="demand", nullable=False),
    ),
    output=Output(task=Task.BINARY, classes=("down", "up")),
)
TEXT = Signature(
    input="text", columns=(Column(name="text", type=ColumnType.TEXT),), output=Output(task=Task.TEXT, name="reply")
)
Node = dict[str, Any]


def leaf(*urls: str, signature: Signature = ELEC, **fields: Any) -> Node:
    return {
        "kind": "version",
        "model": "elec",
        "version": 1,
        "digest": DIGEST_1,
        "urls": list(urls),
        "feature_schema_id": new_schema_id(signature),
        "price": {"usd_per_call": 0.001},
        **fields,
    }


def split(*arms: tuple[str, float, Node], unit: str = "entity") -> Node:
    return {
        "kind": "split",
        "unit": unit,
        "arms": [{"name": name, "weight": weight, "node": node} for name, weight, node in arms],
    }


def rules(*given: tuple[str, Mapping[str, Any], Node], otherwise: Node) -> Node:
    return {
        "kind": "rules",
        "rules": [{"name": name, "when": when, "node": node} for name, when, node in given],
        "otherwise": otherwise,
    }


def fallback(*nodes: Node, **fields: Any) -> Node:
    return {"kind": "fallback", "nodes": list(nodes), **fields}


def shadow(main: Node, *copies: tuple[str, float, Node]) -> Node:
    return {
        "kind": "shadow",
        "main": main,
        "copies": [{"name": name, "percent": percent, "node": node} for name, percent, node in copies],
    }


def ensemble(*members: tuple[float, Node], **fields: Any) -> Node:
    return {"kind": "ensemble", "members": [{"weight": weight, "node": node} for weight, node in members], **fields}


def planned(
    root: Node | None,
    *,
    signatures: tuple[Signature, ...] = (ELEC,),
    route: str = "elec",
    sequence: int = 1,
    timeout_ms: int = 5_000,
    plan: Mapping[str, Any] | None = None,
) -> RoutePublished:
    """root: None deletes the route. plan: further fields of the plan document."""
    document = {"schema_version": 1, "min_release": "0.2", "root": root, **(plan or {})}
    return RoutePublished(
        event_id=uuid4(),
        occurred_at=datetime.now(UTC),
        correlation_id=uuid4(),
        route=route,
        model="elec",
        sequence=sequence,
        salt="salt",
        plan=canonical_json(document).decode() if root else "",
        signatures={new_schema_id(one): one.model_dump_json() for one in signatures},
        timeout_ms=timeout_ms,
    )
