"""Bodies of the control API from the state of the router."""

import json
from typing import Any

from modelyard_contracts.inference.answer import describe_outputs
from modelyard_router.api.models import (
    Choice,
    CopyView,
    ExplainAnswer,
    ExplainRequest,
    LeafView,
    ModelMetadata,
    RefusedView,
    RoutesView,
    RouteView,
    SpoolView,
)
from modelyard_router.domain.leaves import Address, Leaf
from modelyard_router.plan.facts import Facts
from modelyard_router.plan.planner import Candidate, Trace
from modelyard_router.plan.route import Route
from modelyard_router.spool.shipper import Shipper
from modelyard_router.spool.spool import Spool
from modelyard_router.store.route_tables import RouteTables


def routes_view(router_id: str, tables: RouteTables, visible: Any) -> RoutesView:
    """visible: returns whether a route may be listed."""
    refused = [
        RefusedView(route=name, sequence=table.sequence, reason=table.reason)
        for name, table in tables.refused.items()
        if visible(name)
    ]
    routes = [route_view(route) for route in tables.routes.values() if visible(route.name)]
    return RoutesView(router_id=router_id, routes=routes, refused=refused)


def route_view(route: Route) -> RouteView:
    published = route.published
    return RouteView(
        route=route.name,
        model=route.model,
        workspace=route.workspace,
        sequence=published.sequence,
        timeout_ms=published.timeout_ms,
        rollout_id=published.rollout_id,
        targets=[_leaf(leaf) for leaf in route.leaves],
        plan=json.loads(published.plan) if published.plan else None,
    )


def _leaf(leaf: Leaf) -> LeafView:
    return LeafView(
        path=leaf.path,
        model=leaf.model,
        variant=leaf.variant,
        version=leaf.version,
        digest=leaf.digest,
        weight=leaf.share,
        urls=[_url(address) for address in leaf.addresses],
        feature_schema_id=leaf.contract.id,
        cost_usd=leaf.cost_usd,
        timeout_ms=None if leaf.timeout_s is None else leaf.timeout_s * 1000,
    )


def _url(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{'https' if address.tls else 'http'}://{host}:{address.port}"


def spool_view(spool: Spool, shipper: Shipper) -> SpoolView:
    return SpoolView(
        group=shipper.group,
        next_position=spool.next_position,
        shipped=shipper.shipped,
        unsent=shipper.unsent,
        size_bytes=spool.size_bytes,
        max_bytes=spool.max_bytes,
        broker_away=shipper.broker_away,
        transactions=shipper.transactions,
    )


def metadata_view(name: str, route: Route) -> ModelMetadata:
    """Model metadata, from the version with most of the traffic."""
    main = max(route.leaves, key=lambda leaf: leaf.share)
    signature = main.contract.signature
    return ModelMetadata(
        name=name,
        versions=[str(leaf.version) for leaf in route.leaves],
        inputs=main.contract.codec.describe_inputs(),
        outputs=describe_outputs(signature),
        parameters={
            "feature_schema_id": main.contract.id,
            "task": signature.task.value,
            "classes": list(signature.classes),
        },
    )


def explain(route: Route, request: ExplainRequest) -> ExplainAnswer:
    """The plan's decision for given facts, without a call."""
    trace: Trace = []
    facts = Facts(
        request_id=request.request,
        entity=request.entity,
        session=request.session,
        workspace=route.workspace,
        text_length=request.text_length,
        headers={name.lower(): value for name, value in request.headers.items()},
        features=request.features,
    )
    decision = route.decide(facts, trace)
    chosen, *fallbacks = decision.candidates
    return ExplainAnswer(
        route=route.name,
        sequence=route.published.sequence,
        chosen=_choice(chosen),
        fallbacks=[_choice(candidate) for candidate in fallbacks],
        copies=[
            CopyView(name=copy.name, path=leaf.path, model=leaf.model, version=leaf.version)
            for copy in decision.copies
            for leaf in [copy.candidate.leaf]
        ],
        steps=trace,
    )


def _choice(candidate: Candidate) -> Choice:
    leaf = candidate.leaf
    return Choice(
        path=leaf.path,
        rule=leaf.rule,
        model=leaf.model,
        variant=leaf.variant,
        version=leaf.version,
        digest=leaf.digest,
        after=sorted(candidate.after),
    )
