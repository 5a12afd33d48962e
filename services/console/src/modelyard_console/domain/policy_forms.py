"""A policy as a form: one field per setting, made from the class of the policy."""

import json
import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from modelyard_console.domain.formats import setting_name
from modelyard_contracts.policies import POLICIES
from modelyard_contracts.sentences import explain

HIDDEN: Final = frozenset({"schema_version", "min_release"})


@dataclass(frozen=True)
class Setting:
    """One field of a form. path: name in the document, `a.b` for a nested one. options: of a choice; None for text."""

    path: str
    label: str
    value: str
    kind: Literal["text", "number", "checkbox", "choice"]
    options: tuple[tuple[str, str], ...] | None
    help: str
    default: str

    @property
    def changed(self) -> bool:
        return self.value != self.default


def settings_of(kind: str, document: Mapping[str, Any]) -> list[Setting]:
    """The fields of a policy with their values in force."""
    return list(_settings(POLICIES[kind], document, ""))


def _settings(cls: type[BaseModel], document: Mapping[str, Any], prefix: str) -> Any:
    defaults = cls().model_dump(mode="json")
    for name, info in cls.model_fields.items():
        if name in HIDDEN:
            continue
        value = document.get(name, defaults[name])
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _settings(info.annotation, value or {}, f"{prefix}{name}.")
        else:
            yield _setting(f"{prefix}{name}", info, value, defaults[name])


def _setting(path: str, info: FieldInfo, value: Any, default: Any) -> Setting:
    kind, options = _widget(info.annotation)
    label = setting_name(path.rpartition(".")[2])
    note = " ".join((info.description or "").split()).replace("`", "")
    return Setting(path, label, _shown(value), kind, options, note, _shown(default))


def _widget(annotation: Any) -> tuple[Any, tuple[tuple[str, str], ...] | None]:
    optional = get_origin(annotation) in (Union, types.UnionType)
    inner = next((one for one in get_args(annotation) if one is not type(None)), annotation) if optional else annotation
    values: tuple[Any, ...] = ()
    if get_origin(inner) is Literal:
        values = get_args(inner)
    elif isinstance(inner, type) and issubclass(inner, Enum):
        values = tuple(one.value for one in inner)
    if values:
        empty = (("", "automatic"),) if optional else ()
        return "choice", empty + tuple((str(one), str(one).replace("_", " ")) for one in values)
    if inner is bool:
        return "checkbox", None
    return ("number" if inner in (int, float) else "text"), None


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return json.dumps(value) if isinstance(value, Mapping) else str(value)


@dataclass(frozen=True)
class Filled:
    """A filled form: the policy, or what is wrong with which field."""

    policy: Any = None
    errors: Mapping[str, str] | None = None


def filled(kind: str, values: Mapping[str, str], document: Mapping[str, Any]) -> Filled:
    """The policy that a form describes. Fields that this release does not know stay as they are."""
    changed = _merged(POLICIES[kind]().model_dump(mode="json"), document)
    for setting in settings_of(kind, document):
        _put(changed, setting, values.get(setting.path, "").strip())
    try:
        return Filled(policy=POLICIES[kind].model_validate(changed))
    except ValidationError as error:
        found = explain(error)
        return Filled(errors={found.field or "": found.problem})


def _merged(defaults: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with defaults for what it leaves out."""
    found = {**defaults, **document}
    for name, value in defaults.items():
        if isinstance(value, Mapping) and isinstance(document.get(name), Mapping):
            found[name] = _merged(value, document[name])
    return found


def _put(document: dict[str, Any], setting: Setting, text: str) -> None:
    *parents, name = setting.path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[name] = _parsed(setting, text, document.get(name))


def _parsed(setting: Setting, text: str, before: Any) -> Any:
    if setting.kind == "checkbox":
        return bool(text)
    if isinstance(before, list | tuple) or setting.default.count(", "):
        return [_number(part.strip()) for part in text.split(",") if part.strip()]
    if not text:
        return {} if isinstance(before, Mapping) else None
    if isinstance(before, Mapping):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return _number(text) if setting.kind == "number" else text


def _number(text: str) -> int | float | str:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
