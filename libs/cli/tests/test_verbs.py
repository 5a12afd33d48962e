"""The verbs of an operator, against services whose answers a test gives."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from typer.testing import CliRunner, Result

from modelyard import (
    ApiError,
    ApiKeyInfo,
    EvaluationRun,
    EventRecord,
    HistoryEntry,
    PerformanceAlarm,
    PolicyInfo,
    Prediction,
    PublishedReport,
    RecordedEvent,
    RolloutRun,
    VersionInfo,
    Votes,
)
from modelyard.records import ExperimentInfo, ExperimentRun, ExperimentRunPage, MetricValue
from modelyard.results import FeedbackReceipt
from modelyard.router import Generation
from modelyard_cli import outcomes, output
from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform
from modelyard_cli.outcomes import Exit, Outcome, await_release
from modelyard_cli.stack.credentials import CredentialFiles
from modelyard_cli.stack.layout import Layout, StackError
from modelyard_cli.stack.state import identify, write_state
from modelyard_contracts import RolloutState, Verdict
from modelyard_contracts.comparison import (
    FileChange,
    TensorComparison,
    TensorGroup,
    ValueChange,
    VersionDiff,
    VersionName,
)
from modelyard_contracts.documents import read
from modelyard_contracts.keyring import KeyRing
from modelyard_contracts.policies import RolloutPolicy
from modelyard_contracts.signature import Task
from modelyard_contracts.trust import TrustDocument
from modelyard_runtime import kafka
from modelyard_runtime.errors import BrokerAway
from modelyard_runtime.signing.files import open_signer

Asked = Callable[..., Result]
ID = "181914e9-a5ec-4483-976a-77d1db79777a"


class Fake(SimpleNamespace):
    """One service: what its calls answer, by name; a value, or an error to raise."""

    def __getattribute__(self, name: str) -> Any:
        answer = super().__getattribute__(name)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Run a command against the given services."""

    def ask(*arguments: str, **services: Any) -> Result:
        found = {name: Fake(**{key: _answering(it) for key, it in calls.items()}) for name, calls in services.items()}
        platform = SimpleNamespace(kafka="127.0.0.1:1", **found)
        monkeypatch.setattr(Platform, "find", lambda *_: platform)
        return CliRunner().invoke(app, list(arguments))

    return ask


def _answering(answer: Any) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


ROLLED_BACK = RolloutRun.model_validate(
    {
        "rollout_id": ID,
        "model": "m",
        "action": "roll_back",
        "state": "rolled_back",
        "from_version": 2,
        "to_version": 1,
        "seconds": 0.25,
        "reason": "asked for",
    }
)
FAILED = ROLLED_BACK.model_copy(
    update={"state": RolloutState.FAILED, "to_version": 99, "seconds": None, "reason": "no version 99 [x]"}
)


def test_a_roll_back_says_from_where_to_where_and_how_fast(asked: Asked) -> None:
    result = asked("rollback", "m", deployer={"roll_back": ROLLED_BACK})
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "m: version 2 -> 1, applied by every live router after 0.25 s\n"


@pytest.mark.parametrize("form", [(), ("-o", "json")])
def test_a_roll_back_that_failed_is_an_error_with_its_reason(asked: Asked, form: tuple[str, ...]) -> None:
    result = asked("rollback", "m", "--version", "99", *form, deployer={"roll_back": FAILED})
    assert result.exit_code == 1
    assert result.stderr == "m was not rolled back: no version 99 [x]\n"
    assert not form or json.loads(result.stdout)["state"] == "failed"


def test_a_roll_back_that_routers_have_not_applied_yet_says_so(asked: Asked) -> None:
    waiting = ROLLED_BACK.model_copy(update={"state": RolloutState.SHIFTING, "seconds": None})
    result = asked("rollback", "m", deployer={"roll_back": waiting})
    assert "not every live router" in result.stdout


@pytest.mark.parametrize(
    ("verb", "service", "call"),
    [
        ("runs", "trainer", "runs"),
        ("rollouts", "deployer", "rollouts"),
        ("drift", "monitor", "drift"),
        ("alarms", "monitor", "alarms"),
    ],
)
def test_an_empty_list_is_told_from_a_model_that_does_not_exist(
    asked: Asked, verb: str, service: str, call: str
) -> None:
    empty = asked(verb, "m", registry={"model": object()}, **{service: {call: []}})
    assert (empty.exit_code, empty.stdout.rstrip().endswith(": none")) == (0, True)
    missing = ApiError(404, "not_found", "Not Found", "there is no model 'm'")
    unknown = asked(verb, "m", "-o", "json", registry={"model": missing}, **{service: {call: []}})
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "there is no model 'm'" in unknown.stderr


def test_alarms_are_listed_with_the_moment_of_the_change(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "version": 3,
        "subject": "error_rate",
        "state": "open",
        "severity": "critical",
        "recommendation": "retrain",
    }
    found |= {"since": "2026-11-21T21:08:29Z", "last_event_at": "2026-11-21T21:08:29Z", "reason": "it rose"}
    found |= {"change_point": "2026-11-21T20:00:01Z", "error_before": 0.125, "error_after": 0.5}
    monkeypatch.setattr(output.console, "width", 200)
    result = asked("alarms", "m", monitor={"alarms": [PerformanceAlarm.model_validate(found)]})
    shown = ["3", "open", "critical", "error_rate", found["since"], found["change_point"], "0.125", "0.5"]
    assert result.stdout.splitlines()[-1].split() == [*shown, "-", "retrain", "it", "rose"]


def test_drift_is_listed_with_its_size_and_p_value(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = {
        "severity": "critical",
        "kind": "performance",
        "subject": "error_rate",
        "model_version": 3,
        "reason": "r",
    }
    payload |= {"detector": "adwin", "statistic": 0.25, "p_value": 0.001, "occurred_at": "x"}
    payload |= {"recommendation": "retrain", "recommendation_reason": "because"}
    event = {"event_id": ID, "occurred_at": "2026-11-21T21:08:29.1Z", "correlation_id": ID, "payload": payload}
    monkeypatch.setattr(output.console, "width", 200)
    result = asked("drift", "m", monitor={"drift": [RecordedEvent.model_validate(event)]})
    shown = ["2026-11-21", "21:08:29", "critical", "performance", "error_rate", "3", "adwin", "0.25", "0.001"]
    shown += ["retrain", ID, "r;", "because"]
    assert result.stdout.splitlines()[-1].split() == shown


def test_a_timeline_without_events_is_an_error(asked: Asked) -> None:
    result = asked("timeline", ID, "-o", "json", monitor={"timeline": ()})
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"no event has the correlation id {ID}" in result.stderr


def test_a_timeline_shows_the_values_behind_an_alarm_about_unseen_ones(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = {"alert": "unseen_values_high", "subject": "plan", "reason": "40% of plan are unseen, 0% in training"}
    event = {"event_id": ID, "occurred_at": "2026-11-21T21:08:29.1Z", "correlation_id": ID, "payload": payload}
    whole = EventRecord.model_validate({**event, "unseen": [{"value": "gold", "rows": 9}, {"value": "", "rows": 2}]})
    monkeypatch.setattr(output.console, "width", 200)
    result = asked("timeline", ID, monitor={"timeline": [RecordedEvent.model_validate(event)], "event": whole})
    shown = " ".join(result.stdout.split())
    assert "40% of plan are unseen, 0% in training; most frequent: 'gold' 9 times, '' 2 times" in shown


# ---- verbs that move a version


VERSION = VersionInfo.model_validate(
    {
        "model": "m",
        "version": 3,
        "digest": "sha256:0",
        "stage": "approved",
        "created_at": "2026-11-21T19:57:30Z",
        "created_by": "ann",
        "correlation_id": ID,
    }
)


@pytest.mark.parametrize("verb", ["approve", "reject", "retire"])
def test_a_version_is_moved_and_its_stage_is_shown(asked: Asked, verb: str) -> None:
    result = asked(verb, "m", "3", "--reason", "checked", registry={verb: VERSION})
    assert (result.exit_code, result.stdout) == (0, "m version 3: approved\n")


def test_a_refusal_is_one_line_with_its_remedy(asked: Asked) -> None:
    refusal = ApiError(403, "forbidden", "Forbidden", "four eyes: ann registered this version")
    result = asked("approve", "m", "3", registry={"approve": refusal})
    assert (result.exit_code, result.stdout) == (1, "")
    assert "four eyes" in result.stderr


PROMOTED = ROLLED_BACK.model_copy(
    update={
        "action": "start",
        "state": RolloutState.PROMOTED,
        "to_version": 3,
        "strategy": "full",
        "weight_percent": 100.0,
        "reason": "it serves",
    }
)


AWAY = ApiError(0, "unreachable", "Not reachable", "the registry does not answer")
TABULAR: dict[str, Any] = {
    "policy": RolloutPolicy(),
    "manifest": SimpleNamespace(flavour="sklearn", task=Task.BINARY),
}
"""Answers of a registry that has a tabular model without a time of its own."""
TEXTS = TABULAR | {"manifest": SimpleNamespace(flavour="transformers", task=Task.TEXT)}


@pytest.mark.parametrize(("registry", "noted"), [(TABULAR, False), (TEXTS, True), ({"policy": AWAY}, False)])
def test_a_route_that_waits_longer_is_noted_and_a_registry_away_stops_no_rollout(
    asked: Asked, registry: dict[str, Any], noted: bool
) -> None:
    result = asked("deploy", "m", "3", deployer={"start_rollout": PROMOTED, "rollout": PROMOTED}, registry=registry)
    assert (result.exit_code, "waits 30 s" in result.stderr) == (0, noted)


@pytest.mark.parametrize(
    ("state", "code", "line"),
    [
        (RolloutState.PROMOTED, Exit.DONE, "version 3 promoted: it serves"),
        (RolloutState.ABORTED, Exit.ROLLOUT_FAILED, "version 3 aborted: it serves"),
        (RolloutState.FAILED, Exit.ROLLOUT_FAILED, "version 3 failed: it serves"),
    ],
)
def test_the_exit_code_of_deploy_is_the_outcome(asked: Asked, state: RolloutState, code: Exit, line: str) -> None:
    ended = PROMOTED.model_copy(update={"state": state})
    result = asked("deploy", "m", "3", deployer={"start_rollout": PROMOTED, "rollout": ended}, registry=TABULAR)
    assert result.exit_code == code
    assert line in (result.stdout if code is Exit.DONE else result.stderr)


@pytest.mark.parametrize(
    ("verb", "line"), [("advance", "goes to the next step"), ("hold", "stays at 5 %"), ("resume", "by its policy")]
)
def test_people_act_on_the_step_that_is_open(asked: Asked, verb: str, line: str) -> None:
    fields = {"state": RolloutState.HOLDING, "weight_percent": 5.0, "step": 1}
    pending, current = PROMOTED.model_copy(update={"state": RolloutState.PENDING}), PROMOTED.model_copy(update=fields)
    result = asked(verb, "m", deployer={"rollouts": (pending, current), f"{verb}_rollout": current})
    assert (result.exit_code, result.stderr) == (0, "")
    assert line in result.stdout
    none = asked(verb, "m", deployer={"rollouts": (pending,)})
    assert (none.exit_code, none.stdout) == (1, "")
    assert "no rollout of m shifts traffic now" in none.stderr


@pytest.mark.parametrize(("verdict", "code"), [("deploy", 0), ("reject", 4), ("inconclusive", 4)])
def test_the_exit_code_of_evaluate_is_the_verdict(asked: Asked, verdict: str, code: int) -> None:
    ended = EVALUATION.model_copy(update={"verdict": Verdict(verdict)})
    result = asked("evaluate", "m", "3", evaluator={"evaluate": EVALUATION, "evaluation": ended})
    assert result.exit_code == code
    assert f"{verdict}: better" in result.stdout + result.stderr


def test_keys_need_a_known_role_in_a_workspace(asked: Asked) -> None:
    key = ApiKeyInfo.model_validate({"id": "01", "name": "ann", "created_at": "2026-11-21T19:57:30Z", "key": "my_01_x"})
    created = asked(
        "keys", "create", "ann", "--role", "acme:viewer", "--role", "*:caller", registry={"create_key": key}
    )
    assert (created.exit_code, created.stdout) == (0, "my_01_x\n")
    wrong = asked("keys", "create", "ann", "--role", "acme:emperor", registry={"create_key": key})
    assert wrong.exit_code == 2
    assert "write WORKSPACE:ROLE, with a role of viewer" in wrong.stderr


def test_a_field_of_a_policy_is_set_and_checked(asked: Asked) -> None:
    current = PolicyInfo(kind="gate", revision=2, document={"min_rows": 100})
    registry = {"policy_info": current, "set_policy": PolicyInfo(kind="gate", revision=3, document={})}
    done = asked("policies", "set", "m", "gate", "min_rows=200", registry=registry)
    assert (done.exit_code, done.stdout) == (0, "gate policy of m: revision 3\n")
    wrong = asked("policies", "set", "m", "gate", "min_rows=1", registry=registry)
    assert wrong.exit_code == 2
    assert "min_rows: " in wrong.stderr
    assert "there is no 'taste'; use " in asked("policies", "get", "m", "taste", registry=registry).stderr


def test_a_list_of_a_policy_is_set_with_commas(asked: Asked) -> None:
    current = PolicyInfo(kind="retrain", revision=0, document={})
    registry = {"policy_info": current, "set_policy": PolicyInfo(kind="retrain", revision=1, document={})}
    for given in ("windows=recent,all", 'windows=["recent","all"]', "windows=recent", "online=", "every_rows=null"):
        done = asked("policies", "set", "m", "retrain", given, registry=registry)
        assert done.exit_code == 0, done.stderr
    for wrong, words in (
        ("windows=recent,late", "windows"),
        ("windows=recent,recent", "once"),
        ("windows=", "at least one window"),
        ("every_rows=3", "every_rows"),
    ):
        refused = asked("policies", "set", "m", "retrain", wrong, registry=registry)
        assert refused.exit_code == 2 and words in refused.stderr, refused.stderr


def test_a_secret_is_rotated_in_two_steps(tmp_path: Path) -> None:
    Layout(tmp_path).prepare()
    files = Layout(tmp_path).credentials
    before = KeyRing.parse(files.secret("entity").read_text())
    arguments = ["--data-dir", str(tmp_path), "--settle-s", "0"]
    result = CliRunner().invoke(app, ["secrets", "rotate", "entity", *arguments])
    assert (result.exit_code, result.stdout) == (0, "entity: secret 2 is current; accepted: 2, 1\n")
    after = KeyRing.parse(files.secret("entity").read_text())
    assert after.current.value != before.current.value
    assert after.accepts(before.current.value)
    assert files.secret("entity").stat().st_mode & 0o777 == 0o600
    CliRunner().invoke(app, ["secrets", "rotate", "entity", *arguments])
    assert not KeyRing.parse(files.secret("entity").read_text()).accepts(before.current.value)
    unknown = CliRunner().invoke(app, ["secrets", "rotate", "diary", *arguments])
    assert "there is no 'diary'" in unknown.stderr


def trusted(files: CredentialFiles, name: str) -> list[str]:
    signers = read(TrustDocument, files.trust.read_bytes()).signers
    return [key.id for signer in signers if signer.name == name for key in signer.keys]


def test_a_signing_key_is_rotated_before_readers_meet_the_new_one(tmp_path: Path) -> None:
    Layout(tmp_path).prepare()
    files = Layout(tmp_path).credentials
    arguments = ["--data-dir", str(tmp_path), "--settle-s", "0"]
    others = {name: trusted(files, name) for name in ("router", "monitor")}
    result = CliRunner().invoke(app, ["secrets", "rotate", "deployer-signing", *arguments])
    assert (result.exit_code, result.stdout) == (0, "deployer: events are signed with key 2\n")
    ring = KeyRing.parse(files.signing("deployer").read_text())
    assert [secret.id for secret in ring] == ["2", "1"]
    assert trusted(files, "deployer") == ["1", "2"]
    assert {name: trusted(files, name) for name in others} == others
    assert open_signer("deployer", files.signing("deployer"), files.trust) is not None
    assert files.signing("deployer").stat().st_mode & 0o777 == 0o600

    CliRunner().invoke(app, ["secrets", "rotate", "deployer-signing", *arguments])
    assert trusted(files, "deployer") == ["1", "2", "3"], "tables that key 1 signed are still in Kafka"
    revoked = CliRunner().invoke(app, ["secrets", "revoke", "deployer", "1", "--data-dir", str(tmp_path)])
    assert (revoked.exit_code, trusted(files, "deployer")) == (0, ["2", "3"])
    unknown = CliRunner().invoke(app, ["secrets", "revoke", "deployer", "9", "--data-dir", str(tmp_path)])
    assert "deployer has no trusted key 9" in unknown.stderr


def test_an_upstream_producer_gets_a_key_for_request_topics_only(tmp_path: Path) -> None:
    Layout(tmp_path).prepare()
    files = Layout(tmp_path).credentials
    add = ["secrets", "add-signer", "airflow", "--data-dir", str(tmp_path), "--topic"]
    refused = CliRunner().invoke(app, [*add, "deployment.route.published.v1"])
    assert "takes no requests of others; use" in refused.stderr
    assert trusted(files, "airflow") == []
    assert CliRunner().invoke(app, [*add, "training.run.requested.v1"]).exit_code == 0
    assert trusted(files, "airflow") == ["1"]
    assert "there is a airflow already" in CliRunner().invoke(app, [*add, "training.run.requested.v1"]).stderr


def test_a_service_key_is_replaced(tmp_path: Path) -> None:
    Layout(tmp_path).prepare()
    file = Layout(tmp_path).credentials.service_key("router")
    before = file.read_text()
    result = CliRunner().invoke(app, ["secrets", "rotate", "router-key", "--data-dir", str(tmp_path)])
    assert result.exit_code == 0
    assert file.read_text() != before
    assert file.stat().st_mode & 0o777 == 0o600


def test_control_characters_in_reasons_are_shown_and_not_executed(asked: Asked) -> None:
    evil = "\x1b[31mred\x1b]0;title\x07 \u202egnp.exe\u2028next"
    failed = PROMOTED.model_copy(update={"state": RolloutState.FAILED, "reason": evil})
    listed = asked("rollouts", "m", deployer={"rollouts": (failed,)})
    calls = {"start_rollout": PROMOTED, "rollout": failed}
    ended = asked("deploy", "m", "3", deployer=calls, registry=TABULAR)
    for text in (listed.stdout, ended.stderr):
        assert "\\x1b[31mred" in text
        assert not {"\x1b", "\x07", "\u202e", "\u2028"} & set(text)


def test_the_history_says_who_did_what_and_why(asked: Asked) -> None:
    fact = HistoryEntry.model_validate(
        {
            "position": 13,
            "revision": 4,
            "change": "version_moved",
            "version": 1,
            "digest": None,
            "stage": "approved",
            "previous_stage": "evaluated",
            "alias": None,
            "alias_generation": None,
            "policy": None,
            "actor": "gate",
            "reason": "by policy [x]",
            "event_id": ID,
            "correlation_id": ID,
            "cause_id": None,
            "occurred_at": "2026-11-21T19:57:30Z",
            "detail": {},
        }
    )
    table = asked("history", "m", registry={"history": (fact,)}).stdout
    assert "2026-11-21 19:57:30" in table
    assert "gate version moved v1 approved by policy [x]" in " ".join(table.split())
    assert (
        json.loads(asked("history", "m", "-o", "json", registry={"history": (fact,)}).stdout)[0]["stage"] == "approved"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nope.v1", "monitor"), "topic: there is no 'nope.v1'; there are deployment."),
        (("serving.prediction.logged.v1", "unknown"), "service: there is no 'unknown'; there are registry"),
        (("serving.prediction.logged.v1", "monitor"), "the broker does not answer: KafkaConnectionError"),
    ],
)
@pytest.mark.parametrize(
    "error", [KafkaConnectionError("connection refused"), BrokerAway("KafkaConnectionError: connection refused")]
)
@pytest.mark.parametrize("verb", [("list",), ("resend",), ("resend", "--apply")])
def test_dead_letters_that_cannot_be_read_are_no_empty_list(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...], error: Exception,
    arguments: tuple[str, ...], complaint: str,
) -> None:  # fmt: skip
    async def away(*_: Any) -> Any:
        raise error

    for call in ("list_dead_letters", "resend_dead_letters"):
        monkeypatch.setattr(kafka, call, away)
    result = asked("dead-letters", *verb, *arguments, "-o", "json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr


# ---- what train waits for

EVALUATION = EvaluationRun.model_validate(
    {
        "evaluation_id": ID,
        "model": "m",
        "challenger_version": 3,
        "stage": "reported",
        "report": {"reasons": ["better"]},
    }
)
DEPLOY = EVALUATION.model_copy(update={"verdict": Verdict.DEPLOY})


def outcome(rollouts: list[RolloutRun], evaluations: list[EvaluationRun], approval: str = "automatic") -> Outcome:
    platform: Any = SimpleNamespace(
        deployer=Fake(rollouts=_answering(rollouts)),
        evaluator=Fake(evaluations=_answering(evaluations)),
        registry=Fake(policy=_answering(SimpleNamespace(approval=approval))),
    )
    return await_release(platform, "m", 3, lambda _: None)


def test_training_ends_when_its_version_serves() -> None:
    other = PROMOTED.model_copy(update={"to_version": 2})
    found = outcome([other, PROMOTED], [DEPLOY])
    assert (found.text, found.code) == ("version 3 promoted: it serves", Exit.DONE)


def test_training_ends_when_its_version_is_not_accepted() -> None:
    found = outcome([], [EVALUATION.model_copy(update={"verdict": Verdict.CONTINUE_TUNING})])
    assert (found.text, found.code) == ("continue tuning: better", Exit.NOT_ACCEPTED)


def test_training_and_evaluate_do_not_wait_for_labels_of_an_open_comparison(asked: Asked) -> None:
    undecided = {"stage": "waiting", "looks": 1, "note": "look 1 has not decided: it may be better.", "report": None}
    evaluation = EVALUATION.model_copy(update=undecided)
    found = outcome([], [evaluation])
    assert (found.text, found.code) == (
        "no verdict yet: look 1 has not decided: it may be better. See `modelyard evaluations m`",
        Exit.NOT_KNOWN,
    )
    result = asked("evaluate", "m", "3", evaluator={"evaluate": EVALUATION, "evaluation": evaluation})
    assert (result.exit_code, "it may be better" in result.stderr) == (Exit.NOT_KNOWN, True)


def test_an_open_comparison_is_listed_with_its_current_interval(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.console, "width", 200)
    evaluation = EVALUATION.model_copy(
        update={"stage": "waiting", "looks": 1, "note": "between x and y", "report": None}
    )
    result = asked("evaluations", "m", evaluator={"evaluations": [evaluation]})
    assert result.stdout.splitlines()[-1].split()[-6:] == ["open", "-", "between", "x", "and", "y"]
    live = evaluation.model_copy(update={"live_share_percent": 5.0})
    result = asked("evaluations", "m", evaluator={"evaluations": [live]})
    assert " ".join(result.stdout.splitlines()[-1].split()[-9:]) == "open, 5 % live - between x and y"


def test_training_does_not_wait_for_people_or_traffic() -> None:
    waiting = outcome([], [DEPLOY], approval="manual")
    assert (waiting.code, "waits for an approval: modelyard approve m 3" in waiting.text) == (Exit.DONE, True)
    canary = {"strategy": "canary", "state": RolloutState.SHIFTING, "weight_percent": 5.0}
    found = outcome([PROMOTED.model_copy(update=canary)], [DEPLOY])
    assert (found.code, "serves 5 % of the traffic as a canary" in found.text) == (Exit.DONE, True)


def test_training_without_a_verdict_ends_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(outcomes, "POLL_S", 0.01)
    with pytest.raises(StackError, match="no verdict yet; see `modelyard history m`"):
        outcome([], [])


# ---- a stack that is not quite there


def starting(folder: Path, **changes: Any) -> dict[str, Any]:
    """The state of a stack whose broker is still being started."""
    Layout(folder).prepare()
    state = {
        "phase": "starting the broker", "supervisor": identify(os.getpid()), "ready_after_s": None, "services": {},
        "kafka": None, "clickhouse": None, "schema_registry": {"url": "http://127.0.0.1:1"},
        "admin_key_file": "key", "processes": [], **changes,
    }  # fmt: skip
    write_state(Layout(folder), state)
    return state


def test_the_status_of_a_stack_that_only_begins_is_told(tmp_path: Path) -> None:
    starting(tmp_path)
    result = CliRunner().invoke(app, ["status", "--data-dir", str(tmp_path)])
    assert result.exit_code == 0
    assert "starting the broker" in " ".join(result.stdout.split())


def test_the_status_of_a_platform_that_the_environment_names_asks_each_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("my_admin_x")
    environment = {f"{name.upper()}_URL": f"http://host/{name}" for name in ("registry", "trainer", "evaluator")}
    environment |= {f"{name.upper()}_URL": f"http://host/{name}" for name in ("deployer", "router", "monitor")}
    environment |= {"MODELYARD_ADMIN_KEY_FILE": str(tmp_path / "key"), "KAFKA_BOOTSTRAP_SERVERS": "host:9092"}
    environment |= {"CLICKHOUSE_URL": "http://host:8123", "CLICKHOUSE_PASSWORD": "secret"}
    monkeypatch.setattr(Platform, "ready", lambda _, name: name != "router")
    result = CliRunner().invoke(app, ["status", "-o", "json"], env=environment)
    found = json.loads(result.stdout)
    assert [name for name, it in found["services"].items() if not it["ready"]] == ["router"]
    assert found["kafka"] == {"bootstrap": "host:9092", "provider": "given"}
    assert found["clickhouse"]["reader"] == {"user": "default", "password": "secret"}
    assert Path(found["admin_key_file"]).read_text() == "my_admin_x"
    assert "platform of the environment: not ready" in CliRunner().invoke(app, ["status"], env=environment).stdout


def test_a_killed_supervisor_is_told_from_a_stack_that_never_was(tmp_path: Path) -> None:
    dead = {"pid": os.getpid(), "started": 1.0}
    starting(tmp_path, supervisor=dead, processes=[identify(os.getpid())])
    result = CliRunner().invoke(app, ["models", "--data-dir", str(tmp_path)], env={"REGISTRY_URL": ""})
    assert result.exit_code == 2
    assert "was killed, its processes still run" in result.stderr
    starting(tmp_path, supervisor=dead)
    result = CliRunner().invoke(app, ["models", "--data-dir", str(tmp_path)], env={"REGISTRY_URL": ""})
    assert "no stack runs in" in result.stderr


def test_votes_show_members_weights_and_the_best_of_them(asked: Asked) -> None:
    found = Votes.model_validate(
        {
            "model": "m",
            "strategy": "adaptive",
            "labels": 8120,
            "members": [
                {"version": 3, "lead": True, "weight": 0.412, "labels": 8120, "loss": 0.2, "vote_loss": 0.19},
                {"version": 1, "weight": 0.588, "labels": 8120, "loss": 0.25, "vote_loss": 0.19},
            ],
            "departed": [{"version": 2, "at": "2026-11-29T06:00:00Z", "reason": "[rejected] in the registry"}],
            "against_best": {"version": 3, "labels": 8120, "lost_rows": -81.2, "mean_lost_rows": 9, "bound_rows": 96.5},
            "problem": "the monitor does not answer",
        }
    )
    result = asked("votes", "m", deployer={"votes": found})
    assert result.exit_code == 0
    for text in (
        "3 (lead)",
        "0.412",
        "so far 81.2 rows better than version 3 on 8120 labels; a draw by the weights: +9.0 rows, at most 96.5",
        "version 2 left at 2026-11-29T06:00:00: [rejected] in the registry",
        "problem: the monitor does not answer",
    ):
        assert text in " ".join(result.stdout.split())


# ---- reports


def a_published_report() -> PublishedReport:
    way = {"name": "frozen", "title": "version 1 frozen", "overall": 0.5}
    ways = [way, {"name": "policy a", "title": "policy a", "is_platform": True, "overall": 0.75}]
    report = {"kind": "backtest", "name": "loans", "metric": "accuracy", "rows": 10, "ways": ways}
    return PublishedReport.model_validate(
        {"report_id": ID, "model": "loans", "created_at": "2026-11-29T12:00:00Z", "report": report}
    )


def test_a_report_is_published_under_its_own_name_or_a_given_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    file.write_text('{"name": "loans"}')
    calls: list[tuple[Any, ...]] = []

    def publish(*given: Any) -> PublishedReport:
        calls.append(given)
        return a_published_report()

    platform = SimpleNamespace(evaluator=SimpleNamespace(publish_report=publish))
    monkeypatch.setattr(Platform, "find", lambda *_: platform)
    monkeypatch.setattr(output.console, "width", 200)
    shown = CliRunner().invoke(app, ["reports", "publish", str(file)]).stdout
    assert f"/value/reports/{ID}" in shown.replace("\n", "")
    CliRunner().invoke(app, ["reports", "publish", str(file), "--model", "acme:loans"])
    assert calls == [("loans", {"name": "loans"}), ("acme:loans", {"name": "loans"})]


@pytest.mark.parametrize("text", ["", "[1]", "{}"])
def test_a_file_that_is_no_report_is_refused_before_anything_is_sent(asked: Asked, tmp_path: Path, text: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(text)
    result = asked("reports", "publish", str(file))
    assert (result.exit_code, str(file) in result.stderr.replace("\n", "")) == (2, True)


def test_published_reports_are_listed_with_the_best_of_the_platform(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.console, "width", 200)
    shown = asked("reports", "list", evaluator={"loop_reports": (a_published_report(),)}).stdout
    assert "policy a" in shown
    assert "0.75" in shown


def test_a_text_is_answered_with_the_parameters_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {
        "generation_id": "g1",
        "model": "poet",
        "version": 2,
        "digest": "sha256:0",
        "route": "poet",
        "variant": "2",
    }
    answer = Generation.model_validate({**fields, "text": "to be", "usage": {"input_tokens": 3, "output_tokens": 2}})
    asked: list[Any] = []

    def generate(*words: str, **options: Any) -> Generation:
        asked.append((words, options))
        return answer

    monkeypatch.setattr(Platform, "find", lambda *_: SimpleNamespace(router=SimpleNamespace(generate=generate)))
    words = ["generate", "poet", "or not", "--parameter", "max_tokens=2", "--parameter", "temperature=0.5"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0
    assert asked == [(("poet", "or not"), {"parameters": {"max_tokens": 2, "temperature": 0.5}, "entity_key": None})]
    assert "to be (2 tokens by poet version 2, g1)" in " ".join(shown.output.split())


def test_a_prediction_is_asked_for_and_its_version_and_id_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    answer = Prediction.model_validate(
        {"prediction_id": ID, "model": "churn", "version": 3, "digest": "sha256:0", "class": "yes", "score": 0.25}
        | {"route": "churn", "variant": "stable"}
    )

    def predict(_: str, features: dict[str, Any], **__: Any) -> Prediction:
        sent.append(features)
        return answer

    monkeypatch.setattr(Platform, "find", lambda *_: SimpleNamespace(router=SimpleNamespace(predict=predict)))
    words = ["predict", "churn", "age=44", "plan=b", 'code="1"', "new=true", "note="]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0
    assert f"yes (score 0.25) by churn version 3, prediction {ID}" in " ".join(shown.output.split())
    assert sent == [{"age": 44, "plan": "b", "code": "1", "new": True, "note": ""}]


@pytest.mark.parametrize(
    "words", [("predict", "churn", "age"), ("feedback", ID), ("feedback", ID, "--label", "a", "--value", "1")]
)
def test_an_incomplete_call_names_what_to_write(asked: Asked, words: tuple[str, ...]) -> None:
    refused = asked(*words, router={})
    assert refused.exit_code != 0
    assert "NAME=VALUE" in refused.output or "--label for a class or --value for a number" in refused.output


def test_a_label_is_sent(asked: Asked) -> None:
    shown = asked("feedback", ID, "--label", "yes", router={"feedback": FeedbackReceipt(accepted=1)})
    assert (shown.exit_code, f"label of {ID} accepted" in " ".join(shown.output.split())) == (0, True)


DIFF = VersionDiff(
    before=VersionName(model="churn", version=3, digest="sha256:3"),
    after=VersionName(model="churn", version=5, digest="sha256:5"),
    files=(FileChange(path="model.safetensors", change="changed", bytes_before=1_200, bytes_after=1_300),),
    tensors=TensorComparison(
        identical_share=0.81, identical=7, differing=(TensorGroup(prefix="classifier.*", changed=2, size_bytes=96),)
    ),
    metrics=(ValueChange(name="accuracy", before=0.9, after=0.95),),
    card=("--- before", "+++ after", "+two lines"),
)


def test_a_diff_is_a_table_and_the_card_is_shown_line_by_line(asked: Asked) -> None:
    result = asked("diff", "churn", "3", "5", registry={"diff": DIFF})
    assert (result.exit_code, result.stderr) == (0, "")
    assert "from churn 3 to churn 5" in result.stdout
    for words in ("model.safetensors", "1,200 bytes", "81%", "classifier.*", "changed 2", "accuracy", "+two lines"):
        assert words in result.stdout
    assert (
        json.loads(asked("diff", "churn", "3", "5", "-o", "json", registry={"diff": DIFF}).stdout)["after"]["version"]
        == 5
    )


def test_a_bill_of_materials_is_printed_or_written_to_a_file(asked: Asked, tmp_path: Path) -> None:
    answers = {"bom": {"bomFormat": "CycloneDX"}}
    assert json.loads(asked("bom", "churn", "3", registry=answers).stdout) == answers["bom"]
    path = tmp_path / "churn.cdx.json"
    assert asked("bom", "churn", "3", "--to", str(path), registry=answers).exit_code == 0
    assert json.loads(path.read_text()) == answers["bom"]
    refused = asked("bom", "churn", "3", "--to", str(tmp_path / "gone" / "x"), registry=answers)
    assert refused.exit_code == 2
    assert "give a file that can be written" in refused.output


AT = datetime(2026, 1, 1, tzinfo=UTC)
EXPERIMENT = ExperimentInfo(
    id=3, workspace="default", name="spam", lifecycle="active", runs=1, created_at=AT, updated_at=AT
)
TRACKED = ExperimentRun(
    id="ab",
    experiment_id=3,
    name="first",
    status="FINISHED",
    started_at=AT,
    params={"depth": "3"},
    metrics={"accuracy": MetricValue(step=4, at=AT, value=0.9, text="0.9")},
)


def test_experiments_are_listed_and_the_runs_of_one_have_a_column_for_each_value(asked: Asked) -> None:
    registry = {
        "experiments": (EXPERIMENT,),
        "experiment": EXPERIMENT,
        "experiment_runs": ExperimentRunPage(items=(TRACKED,)),
    }

    everything = asked("experiments", registry=registry)
    runs = asked("experiments", "spam", registry=registry)
    unknown = asked("experiments", "eggs", registry=registry)

    assert "spam" in everything.stdout
    assert all(text in runs.stdout for text in ("metrics.accuracy", "0.9", "params.depth", "FINISHED"))
    assert json.loads(asked("experiments", "3", "-o", "json", registry=registry).stdout)[0]["params"] == {"depth": "3"}
    assert (unknown.exit_code, "there is no experiment 'eggs'" in unknown.stderr) == (2, True)
