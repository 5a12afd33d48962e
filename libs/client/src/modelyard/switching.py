"""Switch a model to other policies, as the command line and the console do: see what changes, then set it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from modelyard.errors import ApiError
from modelyard.monitor import MonitorClient
from modelyard.records import PolicyInfo
from modelyard.registry import RegistryClient
from modelyard_contracts.policies import POLICIES
from modelyard_contracts.policies import Policy as AnyPolicy
from modelyard_contracts.policy_changes import FieldChange, check_fit, differences, in_force, kept, merged

LABEL_DAYS: Final = 30


@dataclass(frozen=True)
class PolicySwitch:
    """What becomes of one policy of a model."""

    kind: str
    revision: int
    """Of the policy in force, which `policy` replaces."""
    policy: Any
    changes: tuple[FieldChange, ...]
    """Empty: it is in force already."""
    kept: tuple[FieldChange, ...]
    """Fields that stay as they are (`before`) although the other policy has another value (`after`)."""


@dataclass(frozen=True)
class Switch:
    """What becomes of all policies of a model."""

    model: str
    policies: tuple[PolicySwitch, ...]
    notes: tuple[str, ...]
    """Sentences about why the policies may not work yet."""

    @property
    def changed(self) -> tuple[PolicySwitch, ...]:
        """Policies of which a field changes."""
        return tuple(one for one in self.policies if one.changes)


def switch_of(
    registry: RegistryClient,
    monitor: MonitorClient,
    model: str,
    wanted: Mapping[str, AnyPolicy],
    now: datetime,
    named: Mapping[str, Collection[str]] | None = None,
) -> Switch:
    """What would change if a model had the wanted policies; nothing is set.

    wanted: by kind, all of them. named: by kind, fields that are changed although they are usually kept (KEPT).
    UnfitPolicy if the model cannot work under them; ApiError 404 for an unknown model.
    """
    found = tuple(_one(registry, model, kind, wanted[kind], (named or {}).get(kind, ())) for kind in POLICIES)
    signature = registry.kept_signature(model)
    if signature is None:
        return Switch(model, found, ("The model has no version yet, so it is not known whether they fit it.",))
    check_fit({one.kind: one.policy for one in found}, signature)
    return Switch(model, found, _unlabelled(monitor, model, now))


def set_switched(registry: RegistryClient, switch: Switch, reason: str) -> tuple[PolicyInfo, ...]:
    """Set what changes, one policy after another, each over the revision that was seen; conflict (409) otherwise.

    Those before an error stay set; the next `switch_of` has only the rest.
    """
    return tuple(
        registry.set_policy(switch.model, one.policy, expected_revision=one.revision, reason=reason)
        for one in switch.changed
    )


def _unlabelled(monitor: MonitorClient, model: str, now: datetime) -> tuple[str, ...]:
    """A sentence if callers got answers and no label has come; none while the monitor is away."""
    try:
        traffic = monitor.traffic(since=now - timedelta(days=LABEL_DAYS), models=(model,))
    except ApiError:
        return ()
    if any(one.predictions for one in traffic) and not any(one.labelled for one in traffic):
        return (f"No label of the last {LABEL_DAYS} days has come: retraining, comparisons and votes wait for labels.",)
    return ()


def _one(registry: RegistryClient, model: str, kind: str, wanted: AnyPolicy, named: Collection[str]) -> PolicySwitch:
    info = registry.policy_info(model, kind)
    before = in_force(kind, info.document)
    after = merged(kind, wanted, before, named)
    return PolicySwitch(kind, info.revision, after, differences(before, after), kept(kind, wanted, before, named))
