"""The common plans of a route as forms: what is typed becomes a specification, a problem of it stands at its field."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

PLANS: Final = (
    ("version", "One version", "One version answers every request, or the version of a model that serves."),
    ("split", "Split by weight", "Divides requests between versions or models, such as for an A/B test."),
    (
        "shadow",
        "Champion with shadow",
        "One answers; another gets copies of requests, whose answers are only logged.",
    ),
    ("fallback", "Fallback", "The next one answers when the one before it fails or takes too long."),
    ("json", "JSON", "Every plan that routes can have, as a specification."),
)
"""Value in the address, title, and what it is for."""
TITLES: Final = {plan: title for plan, title, _ in PLANS}
PLACES: Final = {"version": 1, "split": 4, "shadow": 2, "fallback": 4}
"""Most models of a plan."""
NEEDED: Final = {"version": 1, "split": 2, "shadow": 2, "fallback": 2}
WHOLE_PERCENT: Final = 100.0
MAX_NAME_CHARS: Final = 58
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")
UNITS: Final = (
    ("entity", "entity key: a caller with a key keeps its version"),
    ("session", "session"),
    ("request", "request"),
)


@dataclass(frozen=True)
class Target:
    """Who answers: a version of a model, or the version of it that serves. place: number of its fields."""

    place: int
    model: str
    version: str

    @property
    def leaf(self) -> dict[str, Any]:
        if not self.version:
            return {"kind": "model", "model": self.model}
        return {"kind": "version", "model": self.model, "version": int(self.version)}

    @property
    def name(self) -> str:
        """Name of its arm, which the log of predictions has as variant."""
        text = f"{self.model}-v{self.version}" if self.version else self.model
        return _NOT_IN_NAMES.sub(".", text)[-MAX_NAME_CHARS:].strip("._-") or f"arm-{self.place}"


@dataclass(frozen=True)
class Planned:
    """The specification of a form, or what is wrong with which field; `""` is the whole form."""

    document: dict[str, Any] | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    """Path in the specification to the field that it was made of."""

    def field_of(self, path: str) -> str:
        """The field that a path such as `root.arms[1].node.version` was made of; `""` for none."""
        fitting = [place for place in self.places if path == place or path.startswith((f"{place}.", f"{place}["))]
        return self.places[max(fitting, key=len)] if fitting else ""


def planned(plan: str, values: Mapping[str, str]) -> Planned:
    """Read the fields of a plan. A target without model and version is left out, past the first ones."""
    targets = [_target(place, values) for place in range(1, PLACES[plan] + 1)]
    kept = [
        one for one in targets if one.place <= NEEDED[plan] or one.model or one.version or _weight_text(values, one)
    ]
    errors = dict(_problems(kept))
    if not errors:
        errors.update(_SHARES[plan](values, kept) if plan in _SHARES else {})
    if errors:
        return Planned(errors=errors)
    root, places = _BUILD[plan](values, kept)
    return Planned({"schema_version": 1, "root": root}, {}, places)


def _target(place: int, values: Mapping[str, str]) -> Target:
    return Target(place, values.get(f"model-{place}", "").strip(), values.get(f"version-{place}", "").strip())


def _problems(targets: Sequence[Target]) -> Iterator[tuple[str, str]]:
    for one in targets:
        if not one.model:
            yield f"model-{one.place}", "name a model"
        if one.version and not (one.version.isascii() and one.version.isdigit() and int(one.version) > 0):
            yield f"version-{one.place}", "give the number of a version, or leave it empty for the one that serves"


def _weight_text(values: Mapping[str, str], target: Target) -> str:
    return values.get(f"weight-{target.place}", "").strip()


def _percent(text: str) -> float | None:
    """A share in percent; None for anything else."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if 0 <= value <= WHOLE_PERCENT else None


def _weights(values: Mapping[str, str], targets: Sequence[Target]) -> dict[str, str]:
    found = {one.place: _percent(_weight_text(values, one)) for one in targets}
    wrong = {f"weight-{place}": "give a number from 0 to 100" for place, share in found.items() if share is None}
    total = sum(share or 0.0 for share in found.values())
    if wrong or abs(total - WHOLE_PERCENT) < 1e-4:
        return wrong
    last = targets[-1].place
    return {f"weight-{last}": f"the weights add up to {total:g} percent, and must be 100"}


def _copied(values: Mapping[str, str], _: Sequence[Target]) -> dict[str, str]:
    share = _percent(values.get("weight-2", "").strip() or "100")
    return {"weight-2": "give a number from 0 to 100"} if share is None else {}


_Built = tuple[dict[str, Any], dict[str, str]]


def _version(_: Mapping[str, str], targets: Sequence[Target]) -> _Built:
    return targets[0].leaf, _leaf_places("root", 1)


def _split(values: Mapping[str, str], targets: Sequence[Target]) -> _Built:
    arms, places, names = [], {"root.arms": f"weight-{targets[-1].place}", "root.unit": "unit"}, set[str]()
    for at, one in enumerate(targets):
        name = one.name if one.name not in names else f"{one.name}-{one.place}"
        names.add(name)
        weight = (_percent(_weight_text(values, one)) or 0.0) / WHOLE_PERCENT
        arms.append({"name": name, "weight": weight, "node": one.leaf})
        places |= {f"root.arms[{at}].weight": f"weight-{one.place}", f"root.arms[{at}].name": f"model-{one.place}"}
        places |= _leaf_places(f"root.arms[{at}].node", one.place)
    return {"kind": "split", "unit": values.get("unit") or "entity", "arms": arms}, places


def _shadow(values: Mapping[str, str], targets: Sequence[Target]) -> _Built:
    main, copy = targets
    percent = _percent(values.get("weight-2", "").strip() or "100")
    places = {"root.copies[0].percent": "weight-2", "root.copies[0].name": "model-2"}
    places |= _leaf_places("root.main", 1) | _leaf_places("root.copies[0].node", 2)
    copies = [{"name": copy.name, "percent": percent, "node": copy.leaf}]
    return {"kind": "shadow", "main": main.leaf, "copies": copies}, places


def _fallback(_: Mapping[str, str], targets: Sequence[Target]) -> _Built:
    places = dict[str, str]()
    for at, one in enumerate(targets):
        places |= _leaf_places(f"root.nodes[{at}]", one.place)
    nodes = [one.leaf for one in targets]
    return {"kind": "fallback", "nodes": nodes, "max_attempts": len(nodes)}, places


def _leaf_places(path: str, place: int) -> dict[str, str]:
    return {path: f"model-{place}", f"{path}.model": f"model-{place}", f"{path}.version": f"version-{place}"}


_BUILD: Final[Mapping[str, Callable[[Mapping[str, str], Sequence[Target]], _Built]]] = {
    "version": _version,
    "split": _split,
    "shadow": _shadow,
    "fallback": _fallback,
}
_SHARES: Final[Mapping[str, Callable[[Mapping[str, str], Sequence[Target]], dict[str, str]]]] = {
    "split": _weights,
    "shadow": _copied,
}
"""Plans with shares to their check."""
