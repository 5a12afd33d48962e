"""Read-only views for operators and clients: applied tables, the models they serve, the log, metrics."""

from typing import Any

import msgspec

from modelyard_router.api.problems import JSON
from modelyard_router.domain.requests import Reply
from modelyard_router.domain.routes import Route, Target
from modelyard_router.spool.shipper import Shipper
from modelyard_router.spool.spool import Spool
from modelyard_router.store.route_tables import RouteTables
from modelyard_runtime.metrics import CONTENT_TYPE, Metrics


class Views:
    """GET path -> reply."""

    def __init__(self, tables: RouteTables, spool: Spool, shipper: Shipper, metrics: Metrics, router_id: str) -> None:
        self._tables, self._spool, self._shipper = tables, spool, shipper
        self._metrics, self._router_id = metrics, router_id

    def get(self, path: str) -> Reply | None:
        """None when no view has this path."""
        if path == "/metrics":
            return 200, [(b"content-type", CONTENT_TYPE.encode())], self._metrics.render()
        if path == "/v1/routes":
            return _json({"router_id": self._router_id, "routes": [_route(r) for r in self._tables.routes.values()]})
        if path == "/v1/spool":
            return _json(self._spool_state())
        if path == "/v2":
            return _json({"name": "modelyard-router", "version": "2", "extensions": []})
        if path.startswith("/v1/routes/"):
            route = self._tables.routes.get(path.removeprefix("/v1/routes/"))
            return None if route is None else _json(_route(route))
        if path.startswith("/v2/models/"):
            return self._model(path.removeprefix("/v2/models/"))
        return None

    def _model(self, rest: str) -> Reply | None:
        name, slash, view = rest.partition("/")
        route = self._tables.by_name.get(name)
        if route is None or view not in ("", "ready"):
            return None
        return _json({"ready": True}) if slash else _json(_metadata(name, route))

    def _spool_state(self) -> dict[str, Any]:
        return {
            "group": self._shipper.group,
            "next_position": self._spool.next_position,
            "shipped": self._shipper.shipped,
            "unsent": self._shipper.unsent,
            "size_bytes": self._spool.size_bytes,
            "max_bytes": self._spool.max_bytes,
            "broker_away": self._shipper.broker_away,
            "transactions": self._shipper.transactions,
        }


def _json(value: Any) -> Reply:
    return 200, [JSON], msgspec.json.encode(value)


def _route(route: Route) -> dict[str, Any]:
    published = route.published
    return {
        "route": published.route,
        "model": published.model,
        "sequence": published.sequence,
        "timeout_ms": published.timeout_ms,
        "rollout_id": published.rollout_id,
        "targets": [target.model_dump(mode="json") for target in published.targets],
    }


def _metadata(name: str, route: Route) -> dict[str, Any]:
    """Model metadata (Open Inference Protocol), from the target with most of the traffic."""
    main: Target = max(route.targets, key=lambda target: target.weight)
    schema = main.contract.schema
    inputs = [
        {"name": feature.name, "datatype": "FP64" if feature.name in schema.numeric else "BYTES", "shape": [-1]}
        for feature in schema.features
    ]
    outputs: list[dict[str, Any]] = [{"name": "scores", "datatype": "FP64", "shape": [-1, len(schema.classes) or 1]}]
    if schema.classes:
        outputs.insert(0, {"name": "class", "datatype": "BYTES", "shape": [-1]})
    return {
        "name": name,
        "versions": [str(target.version) for target in route.targets],
        "platform": "modelyard",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {"feature_schema_id": main.contract.id, "classes": list(schema.classes)},
    }
