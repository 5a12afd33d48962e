"""Settings of a policy under headings, so that a person opens only the ones that matter."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from modelyard_console.domain.policy_forms import Setting

OTHER: Final = "Further settings"
SECTIONS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "gate": {
        "Who decides": ("approval", "four_eyes", "resemblance"),
        "What a version must show": ("standard", "metric", "min_gain", "not_worse_margin", "max_latency_ratio"),
        "Rows and certainty": ("min_rows", "recent_rows", "confidence", "look_every_rows"),
        "While the comparison is open": (
            *("inconclusive", "live_share_percent", "max_open_s", "max_open_rows", "max_open_comparisons"),
            "earlier_versions",
        ),
    },
    "retrain": {
        "What starts a run": ("enabled", "kinds", "react_to", "min_severity", "every_rows", "every_s", "growth"),
        "How often at most": ("cool_down_s", "max_runs_per_day"),
        "Rows to learn from": (
            *("windows", "window_rows", "history_rows", "half_life_rows", "holdout_rows", "learn_holdout"),
        ),
        "How it learns": ("recipe", "parameters", "online", "publish_every_rows"),
    },
    "rollout": {
        "How a version takes over": ("strategy", "steps_percent", "min_samples", "min_step_s", "supersede"),
        "Guardrails": ("max_error_rate", "error_rate_margin", "accuracy_margin", "error_margin", "alpha"),
        "When a step cannot be decided": ("max_hold_s", "on_hold_expired"),
        "Versions that vote (strategy: adaptive)": ("adaptive.",),
        "Route and replicas": ("route", "timeout_ms", "keep_warm_s"),
    },
}
"""Kind of policy to headings to settings; a name that ends with a dot stands for all settings in it."""


@dataclass(frozen=True)
class Section:
    """Settings under one heading. open: shown at once; others are folded."""

    title: str
    settings: Sequence[Setting]
    open: bool

    @property
    def changed(self) -> Sequence[str]:
        """Labels of the settings that differ from the defaults."""
        return [one.label for one in self.settings if one.changed]


def sections_of(kind: str, settings: Sequence[Setting], wrong: Collection[str] = ()) -> list[Section]:
    """All settings under their headings. The first section is open, those with what was changed, and `wrong` ones."""
    placed = {title: [one for one in settings if _in(one, names)] for title, names in SECTIONS[kind].items()}
    known = {one.path for found in placed.values() for one in found}
    placed[OTHER] = [one for one in settings if one.path not in known]  # a setting that is newer than this table
    filled = [(title, found) for title, found in placed.items() if found]
    return [
        Section(title, found, place == 0 or any(one.changed or one.path in wrong for one in found))
        for place, (title, found) in enumerate(filled)
    ]


def _in(setting: Setting, names: Sequence[str]) -> bool:
    return any(setting.path == name or (name.endswith(".") and setting.path.startswith(name)) for name in names)
