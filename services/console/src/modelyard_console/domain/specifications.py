"""Specifications of routes as a person writes them: JSON, with errors at the field and the line."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from modelyard_contracts.documents import Document, canonical_json, digest_of
from modelyard_contracts.routes import RouteSpec
from modelyard_contracts.sentences import plain, problem_of

MAX_PROBLEMS: Final = 20
_VALIDATOR: Final = re.compile(r"[\[(].*")
_NODE_FIELDS: Final = frozenset({"root", "node", "nodes", "main", "first", "then", "otherwise"})
_OF_A_VERSION: Final = frozenset({"kind", "model", "version", "timeout_ms"})
_KINDS: Final = frozenset({"version", "model", "split", "rules", "fallback", "shadow", "cascade", "ensemble", "prompt"})


@dataclass(frozen=True)
class Written:
    """A text, the document that it holds, and its problems as (field, sentence); without problems it can be sent."""

    text: str
    problems: tuple[tuple[str, str], ...] = ()
    document: dict[str, Any] | None = None


def shown(spec: Mapping[str, Any]) -> str:
    """A specification as text to edit: indented, without fields that are not set."""
    return json.dumps(_as_written(spec), indent=2, ensure_ascii=False)


def digest_of_spec(spec: Mapping[str, Any]) -> str:
    """Changes when the specification does."""
    return digest_of(canonical_json(spec))


def read_specification(text: str) -> Written:
    """Check a specification; all its problems at once."""
    return read_text(text, RouteSpec, '{"root": {"kind": "model", "model": "churn"}}')


def read_text(text: str, document_type: type[Document], example: str) -> Written:
    """Check a document as a person wrote it; all its problems at once, without the values at fault."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        return Written(text, ((f"line {error.lineno}, column {error.colno}", f"is not JSON: {error.msg}"),))
    except RecursionError:
        return Written(text, (("", "is nested too deeply"),))
    if not isinstance(document, dict):
        return Written(text, (("", f"must be a JSON object such as {example}"),))
    try:
        document_type.model_validate(document)
    except ValidationError as error:
        return Written(text, tuple(_problems(error)))
    return Written(text, (), document)


def _problems(error: ValidationError) -> list[tuple[str, str]]:
    found = {_place(item["loc"]): problem_of(item) for item in error.errors()}
    inner = {field for field in found if any(other.startswith((f"{field}[", f"{field}.")) for other in found)}
    return [(field, problem) for field, problem in found.items() if field not in inner][:MAX_PROBLEMS]


def _place(location: tuple[int | str, ...]) -> str:
    """The path in the document, such as `root.arms[0].weight`; pydantic adds the kind of each node to it."""
    parts: list[str] = []
    for place, part in enumerate(location):
        if isinstance(part, int) and parts:
            parts[-1] += f"[{part}]"
        elif not (part in _KINDS and _is_node(location[:place])):
            parts.append(_VALIDATOR.sub("", str(part)))
    return ".".join(plain(part) for part in parts if part)


def _is_node(location: tuple[int | str, ...]) -> bool:
    names = [part for part in location if isinstance(part, str)]
    return bool(names) and names[-1] in _NODE_FIELDS


def _as_written(value: Any) -> Any:
    """Leaves as a person writes them: what only a published plan has is left out."""
    if isinstance(value, Mapping):
        fields = _OF_A_VERSION if value.get("kind") == "version" else None
        return {
            name: _as_written(inner)
            for name, inner in value.items()
            if inner is not None and (fields is None or name in fields)
        }
    return [_as_written(inner) for inner in value] if isinstance(value, list | tuple) else value
