"""`/v1/routes` and `/v1/replicas`: specifications, published plans, their routers, and the replicas."""

import asyncio
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Query, Response

from modelyard_contracts.references import REFERENCE_PATTERN
from modelyard_contracts.routes import RouteSpec
from modelyard_deployer.api.views import AppliedView, ReplicaList, ReplicaView, RouteList, RouteView
from modelyard_deployer.domain.ports import Deps
from modelyard_deployer.usecases.routes import delete_route, find_route, set_route
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow, visible

RouteName = Annotated[str, Path(pattern=REFERENCE_PATTERN, description="`name` or `workspace:name`")]


def add_routes(app: FastAPI, deps: Deps) -> None:
    def view(name: str) -> RouteView:
        with deps.store.read() as records:
            return RouteView.of(records, find_route(records, name))

    @app.put("/v1/routes/{route}", dependencies=[Depends(allow("update", "route"))], tags=["routes"])
    async def put_route(route: RouteName, spec: RouteSpec) -> RouteView:
        """Create a route, or replace its specification. The plan is published once every leaf has a ready replica."""
        await asyncio.to_thread(set_route, deps, route, spec)
        return await asyncio.to_thread(view, route)

    @app.get("/v1/routes", tags=["routes"])
    def list_routes(
        caller: Annotated[Principal, Depends(allow("read", "route", over="any-workspace"))],
        model: Annotated[str | None, Query(pattern=REFERENCE_PATTERN, description="Only routes that carry it.")] = None,
    ) -> RouteList:
        """List routes by name."""
        readable = visible(caller, "read", "route")
        with deps.store.read() as records:
            found = records.routes.of_model(model) if model is not None else records.routes.all()
            return RouteList(items=[RouteView.of(records, route) for route in found if readable(route.name)])

    @app.get("/v1/routes/{route}", dependencies=[Depends(allow("read", "route"))], tags=["routes"])
    def one_route(route: RouteName) -> RouteView:
        """Return a route."""
        return view(route)

    @app.get("/v1/routes/{route}/applied", dependencies=[Depends(allow("read", "route"))], tags=["routes"])
    def applied(route: RouteName) -> AppliedView:
        """Report which routers have applied the newest plan of a route, and which have refused it."""
        with deps.store.read() as records:
            return AppliedView.of(find_route(records, route), records.acknowledgements.of_route(route))

    @app.delete(
        "/v1/routes/{route}", status_code=204, dependencies=[Depends(allow("retire", "route"))], tags=["routes"]
    )
    async def remove_route(route: RouteName) -> Response:
        """Delete a route that is not a model's own."""
        await asyncio.to_thread(delete_route, deps, route)
        return Response(status_code=204)


def add_replicas(app: FastAPI, deps: Deps) -> None:
    @app.get("/v1/replicas", tags=["replicas"])
    def list_replicas(
        caller: Annotated[Principal, Depends(allow("read", "route", over="any-workspace"))],
        model: Annotated[str | None, Query(pattern=REFERENCE_PATTERN)] = None,
    ) -> ReplicaList:
        """List replicas with their addresses."""
        readable = visible(caller, "read", "route")
        found = deps.workloads.instances(model)
        return ReplicaList(items=[ReplicaView.of(instance) for instance in found if readable(instance.model)])
