"""Validators of request fields, built once per test process instead of once per app.

Most tests open a service of their own. Three quarters of the time that takes went into pydantic's validators, which are
equal in every app: 0.2 of 0.33 s for the registry. FastAPI builds one per parameter in `ModelField.__post_init__`;
`test_type_adapters.py` fails when a release of FastAPI builds them elsewhere.
"""

from typing import Any

from fastapi._compat import v2
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

_Known = dict[tuple[Any, str], tuple[FieldInfo, TypeAdapter[Any]]]


def share_type_adapters() -> None:
    """From now on equal fields share their validator; repeated calls change nothing."""
    build = v2.ModelField.__post_init__
    if getattr(build, "shares", False):
        return
    known: _Known = {}

    def share(field: v2.ModelField) -> None:
        key = _key(field)
        if key not in known:
            build(field)
            # The field is kept: its parts are compared by their text, which may name an address.
            known[key] = (field.field_info, field._type_adapter)
        field._type_adapter = known[key][1]

    share.shares = True  # type: ignore[attr-defined]
    setattr(v2.ModelField, "__post_init__", share)  # noqa: B010 - mypy allows no assignment to a method


def _key(field: v2.ModelField) -> tuple[Any, str]:
    parts = v2.asdict(field.field_info)
    annotation = parts.pop("annotation")
    text = f"{parts}{field.config}"
    try:
        hash(annotation)
    except TypeError:
        return None, f"{annotation}{text}"
    return annotation, text
