"""Reports of demos and backtests: the platform beside what a team would do without it, in one shape."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import NAMESPACE_OID, UUID, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from modelyard_contracts.documents import canonical_json
from modelyard_contracts.policies import POLICIES
from modelyard_contracts.sentences import explain
from modelyard_runtime.errors import Invalid

MAX_POINTS: Final = 2_000
MAX_WAYS: Final = 50
MAX_DOCUMENTS_BYTES: Final = 20_000
PARTS: Final = 8
"""Parts of the stream that figures are given for."""
TITLES: Final[Mapping[str, str]] = {
    "frozen": "version 1 frozen",
    "scheduled": "scheduled retraining",
    "scheduled_every": "retraining every 1,000 rows",
    "online": "online forest",
    "oracle": "best version in hindsight",
    "platform": "platform",
}
Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=2_000)]
Line = Annotated[str, Field(max_length=200)]
Count = Annotated[int, Field(ge=0, le=2**53)]


def _bounded(documents: dict[str, dict[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
    if documents is None:
        return None
    if set(documents) != set(POLICIES):
        raise ValueError(f"documents: must be those of {', '.join(POLICIES)}")
    if len(canonical_json(documents)) > MAX_DOCUMENTS_BYTES:
        raise ValueError(f"documents: must have at most {MAX_DOCUMENTS_BYTES} bytes as JSON")
    return documents


Documents = Annotated[dict[str, dict[str, Any]] | None, AfterValidator(_bounded)]
"""By kind of policy; None: the report does not state them. What is in them is checked when they are applied."""


class Part(BaseModel):
    """Base of the parts of a report: frozen; unknown fields of a report are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Way(Part):
    """One way to work. Figures that it has none of are None."""

    name: Line
    title: Line
    is_platform: bool
    overall: Number
    """The metric over the whole stream."""
    parts: Annotated[tuple[Number, ...], Field(max_length=PARTS)]
    """The metric by eighth of the stream."""
    trainings: Count | None = None
    cost_usd: Number | None = None
    alarms: Count | None = None
    rollbacks: Count | None = None
    seconds_below_frozen: Number | None = None
    documents: Documents = Field(default=None, exclude_if=lambda value: value is None)
    """The policies of the platform as production would have them. Left out where unknown: ids must not change."""
    curve: Annotated[tuple[tuple[Count, Number], ...], Field(max_length=MAX_POINTS)] = ()
    """(row, rolling metric), in order."""


class Event(Part):
    """What happened at a row of the stream, such as an alarm."""

    row: Count
    what: Line


class LoopReport(Part):
    """A whole report."""

    kind: Literal["demo", "backtest"]
    name: Line
    """Of the stream."""
    metric: Line
    lower_is_better: bool
    rows: Count
    row_interval_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """Mean time between two rows; None where the rows had no times, or where it is unknown."""
    note: Text = ""
    ways: Annotated[tuple[Way, ...], Field(min_length=1, max_length=MAX_WAYS)]
    marks: Annotated[tuple[Event, ...], Field(max_length=MAX_POINTS)] = ()


@dataclass(frozen=True)
class StoredReport:
    """A report as it was published. id: derived from model and content, so the same report is stored once."""

    id: UUID
    model: str
    report: LoopReport
    created_at: datetime
    created_by: str


def id_of(model: str, report: LoopReport) -> UUID:
    """Id of a report of a model."""
    content = json.dumps([model, report.model_dump(mode="json")], sort_keys=True)
    return uuid5(NAMESPACE_OID, f"modelyard loop report {content}")


def read_report(document: Mapping[str, Any]) -> LoopReport:
    """Read the report.json of `modelyard demo` or `modelyard backtest`. Invalid names the field."""
    try:
        if "policies" in document and "baselines" in document:
            return _of_backtest(document)
        if "accuracy" in document and "loops" in document:
            return _of_demo(document)
    except ValidationError as error:
        found = explain(error.errors())
        raise Invalid(f"report: {found.sentence}", field="report") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Invalid(f"report: {error} is missing or of the wrong kind in this report", field="report") from error
    raise Invalid("report: give the report.json of `modelyard demo` or `modelyard backtest`", field="report")


def _of_backtest(found: Mapping[str, Any]) -> LoopReport:
    curves = found.get("curve") or {}
    policies = [_way(f"policy {one['name']}", one, curves, is_platform=True) for one in found["policies"]]
    baselines = [_way(name, one, curves, is_platform=False) for name, one in found["baselines"].items()]
    notes = [str(found.get("note") or ""), *map(str, found.get("data_notes") or ())]
    return LoopReport.model_validate(
        {
            **_shared("backtest", found["name"], found),
            "rows": found["rows"],
            "row_interval_s": found.get("row_interval_s"),
            "note": " ".join(filter(None, notes)),
            "ways": policies + baselines,
        }
    )


def _way(name: str, one: Mapping[str, Any], curves: Mapping[str, Any], *, is_platform: bool) -> dict[str, Any]:
    measured = {key: one.get(key) for key in ("trainings", "seconds_below_frozen")}
    if is_platform:  # nothing else measures its cost, raises alarms or rolls back
        measured |= {
            "cost_usd": one.get("train_cost_usd"),
            "alarms": one.get("alarms"),
            "rollbacks": one.get("rollbacks"),
            "documents": one.get("documents"),
        }
    return {
        "name": name,
        "title": TITLES.get(name, name),
        "is_platform": is_platform,
        "overall": one["metric_overall"],
        "parts": one["metric"],
        "curve": curves.get(name, ()),
        **measured,
    }


def _of_demo(found: Mapping[str, Any]) -> LoopReport:
    scores, curves, loops = found["accuracy"], found.get("curve") or {}, found["loops"]
    names = [name for name in ("platform", *TITLES) if f"{name}_overall" in scores]
    ways = [
        {
            "name": name,
            "title": TITLES[name],
            "is_platform": name == "platform",
            "overall": scores[f"{name}_overall"],
            "parts": scores[name],
            "curve": curves.get(name, ()),
        }
        for name in dict.fromkeys(names)
    ]
    promoted = sum(1 for loop in loops if loop.get("promoted_at"))
    figures = {"trainings": len(loops), "cost_usd": (found.get("cost") or {}).get("training_usd")}
    ways[0] |= {**figures, "alarms": len(loops), "rollbacks": int(bool(found.get("rollback")))}
    note = f"{promoted} of {len(loops)} loops ended with a promotion. The stream was compressed."
    marks = found.get("marks") or ()
    return LoopReport.model_validate(
        {
            **_shared("demo", found["model"], found),
            "rows": found["rows_sent"],
            "note": note,
            "ways": ways,
            "marks": marks,
        }
    )


def _shared(kind: str, name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "name": name, "metric": found["metric"], "lower_is_better": found["metric"] != "accuracy"}
