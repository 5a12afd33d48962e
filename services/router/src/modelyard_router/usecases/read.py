"""Read the body of a prediction, before and after its version is chosen."""

from typing import Any, Final

import msgspec

from modelyard_contracts.signature import ColumnType
from modelyard_router.domain.contract import Contract, Envelope, Values
from modelyard_router.domain.requests import Call
from modelyard_router.domain.violations import explain
from modelyard_router.plan.facts import Facts
from modelyard_router.plan.route import Route

_ENVELOPE: Final = msgspec.json.Decoder(Envelope).decode
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


def read_predict(route: Route, body: bytes) -> Any:
    """The request; its features are decoded only if all versions of the route have one contract."""
    contract = route.contract
    try:
        return _ENVELOPE(body) if contract is None else contract.decode(body)
    except DECODE_ERRORS as error:
        explain(body, (contract or route.leaves[-1].contract).signature, error)


def values_for(route: Route, request: Any, contract: Contract) -> Values:
    """The row in a contract's order; BrokenContract when the features do not match it."""
    if route.contract is not None:
        return contract.values(request.features)
    raw = request.features
    try:
        return contract.values(contract.decode_features(raw))
    except DECODE_ERRORS as error:
        explain(b'{"features":' + bytes(raw) + b"}", contract.signature, error)


def facts_of(route: Route, request: Any, request_id: str, call: Call) -> Facts:
    """The facts of a single prediction."""
    contract = route.contract or route.leaves[-1].contract
    features = _named(request.features, contract, decoded=route.contract is not None)
    texts = [features.get(column.name) for column in contract.signature.columns if column.type is ColumnType.TEXT]
    return Facts(
        request_id=request_id,
        entity=request.entity_key,
        session=call.session,
        workspace=route.workspace,
        text_length=sum(len(text) for text in texts if isinstance(text, str)) if texts else None,
        headers=call.header_facts(),
        features=features,
    )


def _named(features: Any, contract: Contract, *, decoded: bool) -> dict[str, Any]:
    """Features by name; a list has names only where all versions have one contract."""
    if not decoded:
        try:
            features = msgspec.json.decode(features)
        except DECODE_ERRORS:
            return {}
        return features if isinstance(features, dict) else {}
    if isinstance(features, dict):
        return features
    if isinstance(features, msgspec.Struct):
        names = (*contract.numeric, *contract.categorical)
        return dict(zip(names, msgspec.structs.astuple(features), strict=True))
    names = tuple(column.name for column in contract.signature.columns)
    return dict(zip(names, features, strict=False))
