"""The search of the catalogue, as query parameters; and models that need care."""

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from modelyard import NeglectedModel
from modelyard_contracts.policies import CLASS_METRICS, VALUE_METRICS

FACETS: Final = {
    "workspace": "Workspace",
    "owner": "Owner",
    "stage": "Stage",
    "task": "Task",
    "flavour": "Flavour",
    "framework": "Framework",
    "license": "Licence",
    "source": "Made",
    "scan_verdict": "Scan",
}
"""Filters with numbers of models, and their labels."""
CODES: Final = frozenset({"stage", "task", "source", "scan_verdict"})
"""Filters whose values are codes of ours, shown as words."""
KNOWN: Final = f"such as {', '.join((*CLASS_METRICS, *VALUE_METRICS))}"
"""Metrics of models that the platform trains."""
ANY_VALUE: Final = ">=-999999999999999"
"""The lowest bound that the registry reads."""
METRIC: Final = ("metric_name", "metric_sign", "metric_value")
PROBLEMS: Final = {
    "no_owner": (
        "no owner",
        "It names no owner who answers for it. Set one, here or with: modelyard owner MODEL OWNER",
    ),
    "no_card": ("no card", "Write the intended use and the limits of a version: its page, Card, Edit."),
    "never_live": ("no traffic", "No version ever served. Evaluate and roll one out, or retire its versions."),
    "duplicate": ("duplicate", "Most of its bytes are files of another model: see Resembles on its version; keep one."),
}
"""Field of a problem, its name, and what to do about it."""


class Search(BaseModel):
    """Words and filters. An empty one filters nothing."""

    q: str = Field("", max_length=200)
    workspace: str = Field("", max_length=63)
    owner: str = Field("", max_length=200)
    stage: str = Field("", max_length=64)
    task: str = Field("", max_length=64)
    flavour: str = Field("", max_length=64)
    framework: str = Field("", max_length=64)
    license: str = Field("", max_length=256)
    source: str = Field("", max_length=64)
    scan_verdict: str = Field("", max_length=64)
    alias: str = Field("", max_length=64)
    dataset: str = Field("", max_length=200)
    base_model: str = Field("", max_length=512)
    run: str = Field("", max_length=200)
    metric_name: str = Field("", max_length=100)
    metric_sign: Literal[">=", "<="] = ">="
    metric_value: str = Field("", max_length=30)
    label: str = Field("", max_length=400)
    sort: Literal["name", "newest", "versions"] = "name"
    after: str = Field("", max_length=400)

    @property
    def parameters(self) -> dict[str, Any]:
        """What is asked of the registry."""
        given = {name: value for name, value in self.model_dump().items() if value and name not in METRIC}
        return {**given, "metric": self.metric} if self.metric else given

    @property
    def metric(self) -> str:
        """The bound on a metric; empty without a name or a value."""
        name, value = self.metric_name.strip(), self.metric_value.strip()
        return f"{name}{self.metric_sign}{value}" if name and value else ""

    @property
    def metric_problem(self) -> str:
        """Why the bound on a metric is not applied; empty if it is, and without one."""
        if self.metric_value.strip() and not self.metric_name.strip():
            return f"Metric: name the metric of this value, {KNOWN}"
        return ""

    @property
    def has_metric(self) -> dict[str, Any]:
        """Parameters that find a model with the metric at any value."""
        return {"metric": f"{self.metric_name.strip()}{ANY_VALUE}", "limit": 1}

    @property
    def unknown_metric(self) -> str:
        """The sentence for a metric that no model has."""
        return f"Metric: no model has {self.metric_name.strip()!r}; name a metric {KNOWN}"

    @property
    def kept(self) -> dict[str, str]:
        """What the next page repeats."""
        given = {name: value for name, value in self.model_dump().items() if value and name != "after"}
        if not self.metric:
            given.pop("metric_sign")
        return given

    @property
    def narrowed(self) -> bool:
        return bool(self.kept.keys() - {"sort", "metric_sign"})


def problems_of(model: NeglectedModel) -> list[tuple[str, str]]:
    """Name of each problem of a model, and what to do about it."""
    return [PROBLEMS[name] for name in PROBLEMS if getattr(model, name)]
