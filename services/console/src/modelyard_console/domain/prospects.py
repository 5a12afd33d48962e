"""What the policies will do with a version that is about to be registered."""

from modelyard_contracts.policies import GatePolicy
from modelyard_own.manifest import BASELINE_SHARE


def prospects(labels: int, champion: int | None, gate: GatePolicy) -> str:
    """What follows the registration. labels: labelled rows of the sample; champion: the version that serves."""
    return f"It is tried on its example. {_compared(labels, champion, gate)} {_decided(champion, gate)}"


def _compared(labels: int, champion: int | None, gate: GatePolicy) -> str:
    if champion is not None:
        return f"It is compared with version {champion}, which serves, once {gate.min_rows} labelled rows are there."
    left = labels - int(BASELINE_SHARE * labels)
    if left >= gate.min_rows:
        return f"It is compared with a constant answer on {left} labelled rows of the sample."
    found = f"the sample has {labels}" if not labels else f"{left} of the {labels} in the sample are left for it"
    return f"It is not compared with a constant answer: that needs {gate.min_rows} labelled rows, and {found}."


def _decided(champion: int | None, gate: GatePolicy) -> str:
    if gate.approval == "manual":
        by = " by another person" if gate.four_eyes else ""
        return f"If it passes, it waits for an approval{by}, as the gate policy requires."
    how = "serves at once" if champion is None else "is rolled out in the steps of the rollout policy"
    return f"If it passes, it {how}: the gate policy needs no approval."
