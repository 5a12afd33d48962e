"""Requests of MLflow's client: fields of a JSON body or of the query, as protobuf writes them."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Request

from modelyard_contracts.references import WORKSPACE_PATTERN
from modelyard_registry.domain.tracking import MAX_MS, check_key, check_value
from modelyard_runtime.errors import Invalid
from modelyard_runtime.http import Problem

MAX_BODY_BYTES: Final = 8 * 1_048_576
MAX_RESULTS: Final = 1_000
Json = dict[str, Any]


async def fields_of(request: Request) -> Json:
    """The fields of a request; a field that is repeated in the query is a list."""
    query = request.query_params
    found: Json = {name: query.getlist(name) if len(query.getlist(name)) > 1 else query[name] for name in query}
    body = await _body(request)
    if not body:
        return found
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid("body: is not JSON; send a JSON object", field="body") from error
    if not isinstance(parsed, dict):
        raise Invalid("body: is not a JSON object", field="body")
    return found | parsed


Fields = Annotated[Json, Depends(fields_of)]
WorkspaceName = Annotated[str, Path(pattern=rf"^{WORKSPACE_PATTERN}$", description="workspace, such as `default`")]


def text(fields: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """A text; without a default it must be there. Invalid names the field."""
    value = fields.get(name)
    if value is None or value == "":
        if default is None:
            raise Invalid(f"{name}: is missing; send it", field=name)
        return default
    if not isinstance(value, str):
        raise Invalid(f"{name}: is no text", field=name)
    return check_value(value, name)


def run_id(fields: Mapping[str, Any]) -> str:
    """Id of a run, also under its old name."""
    return text(fields, "run_id", text(fields, "run_uuid", "")) or text(fields, "run_id")


def integer(fields: Mapping[str, Any], name: str, default: int | None = None, *, least: int = -MAX_MS) -> int | None:
    """A whole number, also as a text, as protobuf may write large ones."""
    value = fields.get(name)
    if value is None or value == "":
        return default
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid(f"{name}: is no whole number", field=name) from error
    if isinstance(value, bool) or not least <= found <= MAX_MS:
        raise Invalid(f"{name}: {str(value)[:40]} is out of range", field=name)
    return found


def number(fields: Mapping[str, Any], name: str) -> float:
    """A number, or the text of one: NaN, Infinity and -Infinity are no JSON."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Invalid(f"{name}: is missing or no number", field=name)
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{name}: {str(value)[:40]!r} is no number", field=name) from error


def shown_number(value: float) -> float | str:
    """A number as protobuf writes it in JSON."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def items(fields: Mapping[str, Any], name: str, most: int = MAX_RESULTS) -> list[Json]:
    """A list of objects; empty without one."""
    value = fields.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Invalid(f"{name}: is no list of objects", field=name)
    if len(value) > most:
        raise Invalid(f"{name}: has {len(value)} entries; send at most {most} at once", field=name)
    return value


def texts(fields: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts, or one; empty without one."""
    value = fields.get(name) or []
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise Invalid(f"{name}: is no list of texts", field=name)
    return found


def pairs(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    """Tags or parameters: `[{"key": ..., "value": ...}]`."""
    found: dict[str, str] = {}
    for one in items(fields, name):
        key = check_key(one.get("key"), f"{name}.key")
        value = check_value(one.get("value", ""), f"{name}.value")
        if found.setdefault(key, value) != value:
            raise Invalid(f"{name}: {key!r} is there twice, with two values", field=name)
    return found


def page_size(fields: Mapping[str, Any], default: int = MAX_RESULTS) -> int:
    """Rows of a page: what is asked for, at most MAX_RESULTS, as clients follow the token to the next page."""
    wanted = integer(fields, "max_results", default, least=1)
    return min(wanted or default, MAX_RESULTS)


def as_pairs(found: Mapping[str, str]) -> list[Json]:
    """Tags or parameters as MLflow writes them."""
    return [{"key": key, "value": value} for key, value in found.items()]


def paged(name: str, shown: Sequence[Json], token: str | None) -> Json:
    """A page of a list."""
    return {name: list(shown), **({"next_page_token": token} if token else {})}


async def _body(request: Request) -> bytes:
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) > MAX_BODY_BYTES:
            raise Problem(413, "content_too_large", f"the body may have {MAX_BODY_BYTES} bytes at most")
    return bytes(held)
