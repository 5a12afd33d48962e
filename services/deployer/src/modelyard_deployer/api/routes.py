"""`/v1/routes` and `/v1/replicas`: published tables, their routers, and the replicas."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Query

from modelyard_deployer.domain.ports import Deps, Records
from modelyard_deployer.domain.routes import Route
from modelyard_deployer.domain.workloads import Instance
from modelyard_runtime.errors import NotFound


def add_routes(app: FastAPI, deps: Deps) -> None:
    @app.get("/v1/routes")
    def list_routes() -> dict[str, Any]:
        with deps.store.read() as records:
            return {"items": [_route(records, route) for route in records.routes.all()]}

    @app.get("/v1/routes/{name}")
    def one_route(name: str) -> dict[str, Any]:
        with deps.store.read() as records:
            route = records.routes.get(name)
            if route is None:
                raise NotFound(f"no route {name}")
            return _route(records, route)

    @app.get("/v1/replicas")
    def list_replicas(model: Annotated[str | None, Query()] = None) -> dict[str, Any]:
        return {"items": [_instance(instance) for instance in deps.workloads.instances(model)]}


def _route(records: Records, route: Route) -> dict[str, Any]:
    published = records.routes.published(route.name)
    acks = records.acknowledgements.of_route(route.name)
    return {
        "route": route.name,
        "model": route.model,
        "sequence": route.sequence,
        "champion_version": route.champion,
        "previous_version": route.previous,
        "warm_until": route.warm_until.isoformat() if route.warm_until else None,
        "published_at": published.occurred_at.isoformat() if published else None,
        "targets": [target.model_dump(mode="json") for target in route.targets],
        "routers": [{**asdict(ack), "seen_at": ack.seen_at.isoformat()} for ack in acks],
    }


def _instance(instance: Instance) -> dict[str, Any]:
    return {**asdict(instance), "since": instance.since.isoformat() if instance.since else None}
