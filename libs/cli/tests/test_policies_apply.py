"""modelyard policies apply: from a name, a file or a report to the policies of a model."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from modelyard import ApiError, ModelTraffic, PolicyInfo, TrafficOverTime
from modelyard_cli import output
from modelyard_cli.__main__ import app
from modelyard_cli.backtest.chosen import pace_of
from modelyard_cli.backtest.named import NAMED
from modelyard_cli.context import Platform
from modelyard_contracts.policies import POLICIES, GatePolicy
from modelyard_contracts.signature import Column, Output, Signature, Task

NUMBERS = Signature(columns=(Column(name="a"),), output=Output(task=Task.BINARY, classes=("no", "yes")))
TEXTS = Signature(columns=(Column(name="a"),), output=Output(task=Task.TEXT))
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@dataclass
class Registry:
    """The policies of one model, by kind: revision and document. fails_at: kind whose change is refused once."""

    documents: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    signature: Signature | None = NUMBERS
    fails_at: str = ""
    reasons: list[str] = field(default_factory=list)

    def policy_info(self, _: str, kind: str) -> PolicyInfo:
        revision, document = self.documents.get(kind, (0, POLICIES[kind]().model_dump(mode="json")))
        return PolicyInfo(kind=kind, revision=revision, document=document)

    def kept_signature(self, _: str) -> Signature | None:
        return self.signature

    def set_policy(self, model: str, policy: Any, *, expected_revision: int, reason: str) -> PolicyInfo:
        kind = next(kind for kind, of in POLICIES.items() if isinstance(policy, of))
        if kind == self.fails_at:
            self.fails_at = ""
            raise ApiError(409, "Conflict", f"the {kind} policy is at revision 9")
        assert expected_revision == self.policy_info(model, kind).revision
        self.documents[kind] = expected_revision + 1, policy.model_dump(mode="json")
        self.reasons.append(reason)
        return self.policy_info(model, kind)

    def now(self, kind: str, name: str) -> Any:
        return self.policy_info("m", kind).document[name]


@dataclass
class Monitor:
    """Traffic of one model."""

    labelled: int = 5
    buckets: tuple[dict[str, Any], ...] = ()

    def traffic(self, **_: Any) -> tuple[ModelTraffic, ...]:
        found = {"model": "m", "predictions": 10, "errors": 0, "labelled": self.labelled, "last_at": NOW}
        return (ModelTraffic.model_validate(found),)

    def traffic_over_time(self, *_: Any, **__: Any) -> TrafficOverTime:
        return TrafficOverTime.model_validate({"model": "m", "bucket_s": 3_600, "items": self.buckets})


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def monitor() -> Monitor:
    return Monitor()


class Apply:
    """Run the command and keep the last result."""

    def __init__(self, registry: Registry, monitor: Monitor) -> None:
        self.services = SimpleNamespace(registry=registry, monitor=monitor)

    def __call__(self, *words: object) -> Result:
        return CliRunner().invoke(app, ["policies", "apply", "m", *map(str, words)])


@pytest.fixture
def apply(registry: Registry, monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> Apply:
    command = Apply(registry, monitor)
    monkeypatch.setattr(Platform, "find", lambda *_: command.services)
    monkeypatch.setattr(output.console, "width", 200)
    monkeypatch.setattr(output.complaints, "width", 1_000)
    return command


def words(text: str) -> str:
    return " ".join(text.split())


def report(folder: Path, **changes: Any) -> Path:
    """A report of a backtest on half-hours."""
    stated = {kind: one.model_dump(mode="json") for kind, one in NAMED["adaptive"](1_800.0).by_kind().items()}
    found = {"name": "loans", "policies": [{"name": "adaptive", "documents": stated}], "row_interval_s": 1_800.0}
    file = folder / "report.json"
    file.write_text(json.dumps({**found, **changes}))
    return file


def test_a_policy_of_a_report_is_set_as_it_was_proved_and_each_difference_is_printed(
    apply: Apply, registry: Registry, tmp_path: Path
) -> None:
    report(tmp_path)
    done = apply("adaptive", "--report", tmp_path)
    assert done.exit_code == 0, done.output
    assert registry.now("rollout", "strategy") == "adaptive"
    assert (registry.now("retrain", "cool_down_s"), registry.now("retrain", "growth")) == (500 * 1_800, 2)
    assert set(registry.documents) == {"retrain", "rollout"}, "the gate is that of the backtest already"
    assert registry.reasons == ["policy adaptive of the backtest of loans"] * 2
    for line in ("retrain cool_down_s 300 900000", "retrain growth - 2", "rollout strategy canary adaptive"):
        assert line in words(done.stdout)
    assert "min_rows" not in done.stdout, "only differences"


def test_a_second_time_there_is_nothing_to_change(apply: Apply, registry: Registry, tmp_path: Path) -> None:
    file = report(tmp_path)
    apply("adaptive", "--report", file)
    before = dict(registry.documents)
    again = apply("adaptive", "--report", file)
    assert (again.exit_code, registry.documents) == (0, before)
    assert "nothing to change: m has these policies" in again.stdout


def test_what_was_interrupted_is_completed_by_the_same_command(
    apply: Apply, registry: Registry, tmp_path: Path
) -> None:
    file = report(tmp_path)
    registry.fails_at = "rollout"
    stopped = apply("adaptive", "--report", file)
    assert stopped.exit_code == 1
    assert "at revision 9" in stopped.stderr
    assert "the same command sets the rest" in stopped.stderr
    assert set(registry.documents) == {"retrain"}
    rest = apply("adaptive", "--report", file)
    assert (rest.exit_code, registry.documents["retrain"][0]) == (0, 1)
    assert "cool_down_s" not in rest.stdout
    assert registry.now("rollout", "strategy") == "adaptive"


def test_a_dry_run_prints_the_same_and_sets_nothing(apply: Apply, registry: Registry, tmp_path: Path) -> None:
    shown = apply("adaptive", "--report", report(tmp_path), "--dry-run")
    assert "rollout strategy canary adaptive" in words(shown.stdout)
    assert registry.documents == {}
    found = json.loads(apply("adaptive", "--report", tmp_path, "--dry-run", "-o", "json").stdout)
    assert {"policy": "rollout", "path": "strategy", "before": "canary", "after": "adaptive"} in found["changes"]
    assert (found["set"], found["kept"], found["notes"]) == (False, [], [])


def test_who_decides_and_where_it_is_served_stays_and_is_said(apply: Apply, registry: Registry, tmp_path: Path) -> None:
    registry.documents["gate"] = 3, GatePolicy(approval="manual").model_dump(mode="json")
    registry.documents["rollout"] = (
        2,
        POLICIES["rollout"].model_validate({"route": "shop", "timeout_ms": 90}).model_dump(),
    )
    done = apply("adaptive", "--report", report(tmp_path))
    assert done.exit_code == 0, done.output
    assert registry.now("gate", "approval") == "manual"
    assert (registry.now("rollout", "route"), registry.now("rollout", "timeout_ms")) == ("shop", 90)
    for line in ("kept: gate approval manual, not automatic", "kept: rollout route shop, not -", "timeout_ms 90, not"):
        assert line in words(done.stdout)


def test_a_file_changes_what_it_names_and_lists_it(apply: Apply, registry: Registry, tmp_path: Path) -> None:
    registry.documents["gate"] = 3, GatePolicy(approval="manual").model_dump(mode="json")
    registry.documents["rollout"] = 2, POLICIES["rollout"].model_validate({"timeout_ms": 90}).model_dump()
    file = tmp_path / "fast.yaml"
    file.write_text("gate: {approval: automatic}\nretrain: {cool_down_s: 60}")
    done = apply(file)
    assert done.exit_code == 0, done.output
    assert (registry.now("gate", "approval"), registry.now("rollout", "timeout_ms")) == ("automatic", 90)
    assert "gate approval manual automatic" in words(done.stdout)
    assert "kept: rollout timeout_ms 90, not 2000" in words(done.stdout)
    assert registry.reasons == [f"policy file {file}"] * 2
    refused = apply(file, "--row-interval", "30m")
    assert (refused.exit_code, "a file states its waits" in refused.stderr) == (2, True)


def test_a_name_counts_rows_and_asks_for_their_interval(apply: Apply, registry: Registry, monitor: Monitor) -> None:
    refused = apply("canary")
    assert refused.exit_code == 2
    assert "such as --row-interval 30m" in refused.stderr
    assert "on average" not in refused.stderr
    since = datetime.now(UTC) - timedelta(hours=10)
    monitor.buckets = ({"at": since, "version": 1, "variant": "stable", "predictions": 1_200, "errors": 0},)
    assert "--row-interval 30s" in apply("canary").stderr
    assert registry.documents == {}
    done = apply("canary", "--row-interval", "30s", "--reason", "proved")
    assert done.exit_code == 0, done.output
    assert (registry.now("retrain", "cool_down_s"), registry.now("rollout", "max_hold_s")) == (15_000, 60_000)
    assert set(registry.reasons) == {"proved"}


def test_the_pace_counts_what_callers_sent_and_is_silent_about_a_few_rows() -> None:
    at = NOW - timedelta(hours=1)
    bucket = {"at": at, "version": 1, "variant": "stable", "predictions": 200, "errors": 0}
    copies = {**bucket, "variant": "shadow", "predictions": 9_000}
    monitor: Any = Monitor(buckets=(bucket, copies))
    assert pace_of(monitor, "m", NOW).endswith("--row-interval 18s")
    few: Any = Monitor(buckets=({**bucket, "predictions": 199},))
    assert pace_of(few, "m", NOW) == ""


def test_a_report_of_rows_without_times_asks_for_the_interval_and_counts_rows(
    apply: Apply, registry: Registry, tmp_path: Path
) -> None:
    stated = {kind: one.model_dump(mode="json") for kind, one in NAMED["canary"](1.0).by_kind().items()}
    file = report(tmp_path, row_interval_s=None, policies=[{"name": "own", "documents": stated}])
    refused = apply("own", "--report", file)
    assert refused.exit_code == 2
    assert "had no times" in refused.stderr and "--row-interval 30m" in refused.stderr
    done = apply("own", "--report", file, "--row-interval", "1h")
    assert done.exit_code == 0, done.output
    assert (registry.now("retrain", "cool_down_s"), registry.now("rollout", "min_step_s")) == (500 * 3_600, 3_600)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"policies": [{"name": "adaptive"}]}, "older release"),
        ({"policies": [{"name": "a"}, {"name": "b"}]}, "has no policy 'adaptive'; it has a, b"),
        ({"policies": "many"}, "is no report of a backtest"),
        ({"policies": [{"name": "adaptive", "documents": {}}]}, "documents: must be an object"),
        ({"row_interval_s": "soon"}, "row_interval_s: must be a number of seconds above 0"),
        ({"row_interval_s": 0}, "row_interval_s: must be a number of seconds above 0"),
    ],
)
def test_a_report_that_cannot_be_used_says_why(
    apply: Apply, registry: Registry, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    refused = apply("adaptive", "--report", report(tmp_path, **changes))
    assert refused.exit_code == 2, refused.output
    assert complaint in refused.stderr
    assert registry.documents == {}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (("canaries",), "no such file, and none of canary"),
        (("canary", "--row-interval", "often"), "--row-interval: 'often' is no duration"),
        (("canary", "--row-interval", "0s"), "--row-interval: must be longer than 0"),
        (("canary", "--row-interval", "9000w"), "--row-interval: 9000w is too long: cool_down_s"),
        (("adaptive", "--report", "none"), "none: cannot be read as a report"),
    ],
)
def test_a_bad_choice_is_refused_in_one_sentence(apply: Apply, given: tuple[str, ...], complaint: str) -> None:
    refused = apply(*given)
    assert refused.exit_code == 2, refused.output
    assert complaint in refused.stderr


def test_a_policy_that_cannot_fit_the_model_names_field_and_remedy(
    apply: Apply, registry: Registry, tmp_path: Path
) -> None:
    registry.signature = TEXTS
    refused = apply("adaptive", "--report", report(tmp_path))
    assert refused.exit_code == 2
    assert "m cannot have policy adaptive of the backtest of loans: retrain.enabled: " in refused.stderr
    assert "enabled: false" in refused.stderr
    assert registry.documents == {}


def test_missing_labels_and_versions_are_noted(
    apply: Apply, registry: Registry, monitor: Monitor, tmp_path: Path
) -> None:
    monitor.labelled = 0
    assert "note: No label of the last 30 days" in words(
        apply("adaptive", "--report", report(tmp_path), "--dry-run").stdout
    )
    registry.signature = None
    assert "note: The model has no version yet" in words(apply("adaptive", "--report", tmp_path).stdout)


def test_a_hostile_report_cannot_move_the_cursor(apply: Apply, registry: Registry, tmp_path: Path) -> None:
    stated = {kind: one.model_dump(mode="json") for kind, one in NAMED["canary"](1.0).by_kind().items()}
    name = "\x1b[2J[red]<script>" + "w" * 5_000
    done = apply(name, "--report", report(tmp_path, name=name, policies=[{"name": name, "documents": stated}]))
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    assert all(len(reason) < 300 and reason.isprintable() for reason in registry.reasons)
