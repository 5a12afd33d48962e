"""The whole loop on real processes: drift, alarm, training, evaluation, rollout, rollback."""

import time
from pathlib import Path

import httpx
import pytest
from tests.e2e.conftest import turning_stream
from typer.testing import CliRunner

from modelyard import ApiError
from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform
from modelyard_cli.demo.command import Demo
from modelyard_cli.demo.report import Report, faults
from modelyard_devstack.testing import wait_until

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(420)]

ROWS, TURN_AT, RATE_PER_S = 15_000, 3_000, 150.0


@pytest.fixture(scope="module")
def report(stack_dir: object, request: pytest.FixtureRequest) -> Report:
    platform = Platform.find(Path(str(stack_dir)))
    stream = turning_stream("turning", ROWS, turn_at=TURN_AT)
    return Demo(platform, stream, rate_per_s=RATE_PER_S, began=time.monotonic()).run()


def test_every_prediction_and_label_is_stored_once(report: Report) -> None:
    assert report["rows_sent"] == ROWS - ROWS // 10
    assert faults(report) == []


def test_a_loop_closed_by_itself_and_promoted_a_better_version(report: Report, platform: Platform) -> None:
    """The gain over the stream depends on the speed of the machine; what a version answers on its own does not."""
    promoted = [loop for loop in report["loops"] if loop["promoted_at"]]
    assert promoted
    assert promoted[0]["verdict"] == "deploy"
    sql = """SELECT version, sum(right) / sum(labelled) AS accuracy FROM v_member_quality_hourly
        WHERE model = 'turning' GROUP BY version"""
    own = {row["version"]: row["accuracy"] for row in platform.query(sql)}
    assert own[1] < 0.5, "the labels are inverted: version 1 is wrong on most rows"
    assert max(own[loop["rollout_version"]] for loop in promoted if loop["rollout_version"] in own) > 0.6
    assert report["accuracy"]["platform_overall"] > report["accuracy"]["frozen_overall"]


def test_the_timeline_of_a_loop_is_one_query_in_order(report: Report, platform: Platform) -> None:
    loop = next(loop for loop in report["loops"] if loop["promoted_at"])
    types = [event.type for event in platform.monitor.timeline(loop["correlation_id"])]
    milestones = ["DriftDetected", "TrainingRunChanged", "ResourceChanged", "EvaluationFinished", "RolloutChanged"]
    firsts = [types.index(milestone) for milestone in milestones]
    assert firsts == sorted(firsts)


def test_an_operator_sees_what_drifted(report: Report, stack_dir: Path) -> None:
    """The table has a line per drift, or a block per drift where its lines would not fit; texts may wrap."""
    output = CliRunner().invoke(app, ["drift", "turning", "--limit", "1000", "--data-dir", str(stack_dir)]).stdout
    loop = report["loops"][0]
    kind, reason = loop["cause"].split(": ", 1)
    shown = " ".join(output.split())
    assert loop["correlation_id"] in shown and kind in shown and reason in shown, output


def test_the_router_applied_the_rollback(report: Report, platform: Platform) -> None:
    assert report["rollback"] is not None
    assert report["rollback_seconds"] < 5
    answer = platform.router.predict("turning", {"a": 0.1, "b": 0.2, "noise": 0.0, "colour": "red"})
    assert answer.version == report["rollback"]["to_version"]


def test_every_answer_names_model_version_and_digest(report: Report, platform: Platform) -> None:
    url = f"{platform.urls['router']}/v1/predict/turning"
    features = {"a": 0.1, "b": 0.2, "noise": 0.0, "colour": "red"}
    answer = httpx.post(url, json={"features": features}, headers={"authorization": f"Bearer {platform.token}"})
    version = platform.registry.version("turning", answer.json()["version"])
    assert answer.headers["x-modelyard-model"] == "turning"
    assert answer.headers["x-modelyard-version"] == str(version.version)
    assert answer.headers["x-modelyard-digest"] == answer.json()["digest"] == version.digest


@pytest.mark.parametrize(
    ("features", "named"),
    [
        ({"a": 1.0, "b": 1.0, "noise": 1.0}, "colour"),
        ({"a": "much", "b": 1.0, "noise": 1.0, "colour": "red"}, "a"),
        ({"a": 1.0, "b": 1.0, "noise": 1.0, "colour": "red", "extra": 1.0}, "extra"),
    ],
)
def test_features_that_violate_the_signature_are_rejected_by_name(
    report: Report, platform: Platform, features: dict[str, float | str | None], named: str
) -> None:
    with pytest.raises(ApiError) as refused:
        platform.router.predict("turning", features)
    assert refused.value.status == 422
    assert f"'{named}'" in str(refused.value) or f" {named}" in str(refused.value)


def test_missing_values_are_predicted(report: Report, platform: Platform) -> None:
    features = {"a": None, "b": None, "noise": None, "colour": None}
    assert platform.router.predict("turning", features).class_ in ("up", "down")


def test_an_unknown_model_is_rejected(report: Report, platform: Platform) -> None:
    with pytest.raises(ApiError) as refused:
        platform.router.predict("unknown", {"a": 1.0})
    assert refused.value.status == 404


@pytest.mark.parametrize("service", ["registry", "trainer", "evaluator", "deployer", "router", "monitor"])
def test_every_service_requires_a_token(platform: Platform, service: str) -> None:
    assert httpx.get(f"{platform.urls[service]}/v1/models").status_code in (401, 403)
    assert httpx.get(f"{platform.urls[service]}/health/ready").status_code == 200


def test_labels_for_unknown_and_repeated_predictions_do_no_harm(report: Report, platform: Platform) -> None:
    answer = platform.router.predict("turning", {"a": 0.1, "b": 0.2, "noise": 0.0, "colour": "red"})
    for label in ("up", "down", "down"):
        platform.router.feedback(answer.prediction_id, label=label)
    platform.router.feedback("never-predicted", label="up")
    sql = "SELECT label FROM v_labelled WHERE prediction_id = {id:String}"
    wait_until(
        lambda: [row["label"] for row in platform.query(sql, {"id": answer.prediction_id})] == ["down"], every_s=0.5
    )
