"""Explain a failed decode: the field, the problem and the remedy. Slow, and only used after an error."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

import msgspec

from modelyard_contracts.manifest import Feature, FeatureKind, FeatureSchema
from modelyard_router.domain.errors import BrokenContract

MAX_VIOLATIONS: Final = 20
_BYTE: Final = re.compile(r"byte (\d+)")
_NOT_JSON: Final = re.compile(rb"-?(NaN|Infinity|inf|nan)")
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')
_LAST_NAME: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*-?\s*[0-9.eE+-]*$')
_IDS: Final = (
    ("entity_key", re.compile(r".{1,1024}", re.DOTALL), "a string of 1 to 1024 characters"),
    ("prediction_id", re.compile(r"[!-~]{1,200}"), "a string of 1 to 200 printable ASCII characters without spaces"),
)
_KNOWN: Final = ("features", "entity_key", "prediction_id")


def explain(body: bytes, schema: FeatureSchema, error: Exception) -> NoReturn:
    """Raise BrokenContract for a body that the contract's decoder refused with `error`."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        _explain_syntax(body, str(broken))
    violations = list(_violations(value, schema))[:MAX_VIOLATIONS]
    if not violations:
        raise BrokenContract(str(error))
    field, detail = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    raise BrokenContract(
        f"{detail}{more}", field=field, errors=[{"field": name, "detail": text} for name, text in violations]
    )


def _explain_syntax(body: bytes, message: str) -> NoReturn:
    found = _BYTE.search(message)
    place = int(found[1]) if found else _first_infinite(body)
    name = _name_before(body, place)
    where = f"feature {name}: " if name else ""
    token = _NOT_JSON.match(body, place) or _NOT_JSON.match(body, max(place - 1, 0))
    if token:
        raise BrokenContract(
            f"{where}{token[0].decode()} is not JSON; send null for a missing value, and a finite number otherwise",
            field=name,
        )
    if "out of range" in message:
        raise BrokenContract(f"{where}the number is out of the range of a double; send a finite number", field=name)
    raise BrokenContract(f'the body is not JSON: {message}; send an object such as {{"features": {{...}}}}')


def _first_infinite(body: bytes) -> int:
    """Offset of the first number that a double cannot hold; 0 when there is none."""
    for token in _TOKEN.finditer(body):
        if token[0][:1] != b'"' and math.isinf(float(token[0])):
            return token.start()
    return 0


def _name_before(body: bytes, place: int) -> str | None:
    """The object key whose value is at offset `place`."""
    for end in (place, place + 1):
        if found := _LAST_NAME.search(body[max(0, end - 500) : end]):
            return found[1].decode("utf-8", "replace")
    return None


def _violations(value: Any, schema: FeatureSchema) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield "body", 'the body is not an object; send {"features": {...}}'
        return
    for name in sorted(value.keys() - set(_KNOWN)):
        yield name, f"{name}: not a field of a prediction request; known are {', '.join(_KNOWN)}"
    for name, pattern, wanted in _IDS:
        given = value.get(name)
        if given is not None and not (isinstance(given, str) and pattern.fullmatch(given)):
            yield name, f"{name}: must be {wanted}, or left out"
    if "features" not in value:
        yield "features", "features: missing; send an object of feature values, or a list in the schema's order"
        return
    yield from feature_violations(value["features"], schema)


def feature_violations(given: Any, schema: FeatureSchema) -> Iterator[tuple[str, str]]:
    """(feature, sentence) for each violation of the contract."""
    names = [feature.name for feature in schema.features]
    if isinstance(given, list):
        if len(given) != len(names):
            yield "features", f"features: {len(given)} values; this version takes {len(names)}: {', '.join(names)}"
            return
        given = dict(zip(names, given, strict=True))
    if not isinstance(given, Mapping):
        yield "features", "features: must be an object of feature values, or a list in the schema's order"
        return
    for name in sorted(given.keys() - set(names)):
        yield name, f"feature {name}: not known to this version; remove it (known: {', '.join(names)})"
    for feature in schema.features:
        if feature.name not in given:
            remedy = "send it, as null when the value is missing" if feature.nullable else "send it"
            yield feature.name, f"feature {feature.name}: absent; {remedy}"
        elif problem := _problem(given[feature.name], feature):
            yield feature.name, f"feature {feature.name}: {problem}"


def _problem(value: Any, feature: Feature) -> str | None:
    if value is None:
        return None if feature.nullable else "null is not allowed; send a value"
    if feature.kind is FeatureKind.CATEGORICAL:
        return None if isinstance(value, str) else f"{_shown(value)} is not a string; send a string"
    if isinstance(value, str):
        return f"{_shown(value)} is a string; send a number without quotes"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{_shown(value)} is not a number; send a number"
    return None


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 40 else f"{text[:37]}..."
