"""Policies from elsewhere, such as a backtest, in the place of those of a model: what stays, what changes, what fits.

Pure; `modelyard.switching` reads and sets them.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from modelyard_contracts.documents import DocumentError, read
from modelyard_contracts.policies import CENTURY_S, POLICIES, GatePolicy, Policy, RetrainPolicy, RolloutPolicy
from modelyard_contracts.sentences import explain, plain
from modelyard_contracts.signature import Signature, online_obstacle

KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    "gate": ("approval", "four_eyes", "resemblance"),
    "retrain": ("recipe", "parameters"),
    "rollout": ("route", "timeout_ms"),
}
"""Fields that stay as the model has them: they decide about people, addresses and what is trained, not when."""
WAITS: Final[Mapping[str, tuple[str, ...]]] = {
    "gate": ("max_open_s",),
    "retrain": ("cool_down_s", "every_s"),
    "rollout": ("min_step_s", "max_hold_s"),
}
"""Durations in the time of the data."""
UNTIMED_ROW_S: Final = 1.0
"""Between two rows of data without times, in a backtest."""
VERSIONING: Final = frozenset({"schema_version", "min_release"})


class UnfitPolicy(DocumentError):
    """A policy that cannot be set for a model; `field` is its dotted path, such as `gate.metric`."""

    code = "unfit_policy"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


@dataclass(frozen=True)
class FieldChange:
    """One field with its value in each of two documents. path: in the document, such as `adaptive.members`."""

    path: str
    before: Any
    after: Any


def checked(documents: Any) -> dict[str, Policy]:
    """The policies of documents by kind, as a report states them. UnfitPolicy names the field that is wrong."""
    if not isinstance(documents, Mapping) or set(documents) != set(POLICIES):
        raise UnfitPolicy("documents", f"must be an object with the documents {', '.join(POLICIES)}")
    return {kind: _valid(kind, documents[kind]) for kind in POLICIES}


def in_force(kind: str, document: Mapping[str, Any]) -> Policy:
    """The policy of a document of the registry. UnfitPolicy if fields of a newer release would be lost by a change."""
    found = read(POLICIES[kind], document)
    known = dict(_flat(found.model_dump(mode="json")))
    if newer := [path for path, _ in _flat(document) if path not in known]:
        problem = "is set by a newer release and would be lost; use that release"
        raise UnfitPolicy(f"{kind}.{plain(newer[0])}", problem)
    return found


def kept(kind: str, wanted: Policy, before: Policy, named: Collection[str] = ()) -> tuple[FieldChange, ...]:
    """Fields that stay although the wanted policy has another value, which is `after`. named: fields that do not."""
    fields = [name for name in KEPT[kind] if name not in named]
    return tuple(one for one in differences(before, wanted) if one.path in fields)


def merged(kind: str, wanted: Policy, before: Policy, named: Collection[str] = ()) -> Policy:
    """The wanted policy with the KEPT fields of the one before. named: fields that are not kept.

    UnfitPolicy if both together are no policy.
    """
    stays = {name: getattr(before, name) for name in KEPT[kind] if name not in named}
    try:
        return POLICIES[kind].model_validate({**dict(wanted), **stays})
    except ValidationError as error:
        found = explain(error)
        listed = ", ".join(f"{name} {value}" for name, value in stays.items())
        remedy = f"the model keeps {listed}; name the field in a policy file to change it"
        raise UnfitPolicy(".".join(filter(None, (kind, found.field))), f"{found.problem}; {remedy}") from error


def differences(before: Policy, after: Policy) -> tuple[FieldChange, ...]:
    """Fields whose values differ, in the order of the class; nested ones one by one."""
    old, new = (dict(_flat(one.model_dump(mode="json"))) for one in (before, after))
    return tuple(FieldChange(path, old.get(path), new[path]) for path in new if old.get(path) != new[path])


def exact(value: Any) -> Any:
    """A value for people: floats as texts with all their digits, as what is shown is what is set."""
    if isinstance(value, list):
        return [exact(one) for one in value]
    return f"{value:.15g}" if isinstance(value, float) else value


def at_pace(policies: Mapping[str, Policy], row_interval_s: float | None, wanted_s: float | None) -> dict[str, Policy]:
    """The same policies with waits of as many rows at another pace.

    row_interval_s: mean seconds between two rows of the data that the policies were made for; None: the rows had no
    times, so one second. wanted_s: of the new rows; None changes nothing. Both are above 0.
    """
    factor = 1.0 if wanted_s is None else wanted_s / (row_interval_s or UNTIMED_ROW_S)
    return {kind: _waiting(kind, policy, factor) for kind, policy in policies.items()}


def check_fit(policies: Mapping[str, Policy], signature: Signature) -> None:
    """UnfitPolicy if a model of this signature cannot work under these policies; it names the field and the remedy."""
    task = signature.task
    for policy in policies.values():
        match policy:
            case GatePolicy():
                try:
                    policy.metric_for(task)
                except ValueError as error:
                    raise UnfitPolicy("gate.metric", str(error).removeprefix("gate policy: ")) from error
            case RetrainPolicy(enabled=True) if not task.labelled:
                raise UnfitPolicy(
                    "retrain.enabled",
                    f"a retraining learns from labels, and an answer of the task {task} has none; "
                    "write `retrain: {enabled: false}` in a policy file and apply that",
                )
            case RetrainPolicy() if policy.online and (obstacle := online_obstacle(signature)):
                remedy = "take a policy without them, such as `adaptive`, or write `online: []` in a policy file"
                raise UnfitPolicy("retrain.online", f"{obstacle}; {remedy}")
            case RolloutPolicy(strategy="adaptive") if not task.labelled:
                problem = f"versions of the task {task} cannot vote; write `strategy: canary` in a policy file"
                raise UnfitPolicy("rollout.strategy", problem)


def _waiting(kind: str, policy: Policy, factor: float) -> Policy:
    given = {name: getattr(policy, name) for name in WAITS[kind]}
    waits = {name: min(value * factor, CENTURY_S) for name, value in given.items() if value is not None}
    return _valid(kind, {**dict(policy), **waits})


def _valid(kind: str, document: Any) -> Policy:
    try:
        return POLICIES[kind].model_validate(document)
    except ValidationError as error:
        found = explain(error)
        raise UnfitPolicy(".".join(filter(None, (kind, plain(found.field)))), found.problem) from error


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if name == "adaptive" and isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif name not in VERSIONING:
            yield f"{prefix}{name}", value
