"""What operators ask and do, against services that answer what a test says."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from typer.testing import CliRunner, Result

from modelyard import ApiError, HistoryEntry
from modelyard_cli import train as train_module
from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform
from modelyard_cli.stack.layout import Layout
from modelyard_cli.stack.state import identify, write_state
from modelyard_runtime import kafka
from modelyard_runtime.errors import BrokerAway

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
        platform = SimpleNamespace(kafka_bootstrap="127.0.0.1:1", **found)
        monkeypatch.setattr(Platform, "find", lambda *_: platform)
        return CliRunner().invoke(app, list(arguments))

    return ask


def _answering(answer: Any) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


ROLLED_BACK = {"state": "rolled_back", "from_version": 2, "to_version": 1, "seconds": 0.25, "reason": "asked for"}
FAILED = {"state": "failed", "from_version": 2, "to_version": 99, "seconds": None, "reason": "no version 99 [x]"}


def test_a_roll_back_says_from_where_to_where_and_how_fast(asked: Asked) -> None:
    result = asked("rollback", "m", deployer={"roll_back": ROLLED_BACK})
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "m: version 2 -> 1, applied by every live router after 0.25 s\n"


@pytest.mark.parametrize("form", [(), ("-o", "json")])
def test_a_roll_back_that_failed_is_an_error_with_its_reason(asked: Asked, form: tuple[str, ...]) -> None:
    result = asked("rollback", "m", "--version", "99", *form, deployer={"roll_back": FAILED})
    assert result.exit_code == 1
    assert result.stderr == "m was not rolled back: no version 99 [x]\n"
    assert not form or json.loads(result.stdout) == FAILED


def test_a_roll_back_that_routers_have_not_applied_yet_says_so(asked: Asked) -> None:
    result = asked("rollback", "m", deployer={"roll_back": {**ROLLED_BACK, "state": "shifting", "seconds": None}})
    assert "not every live router" in result.stdout


@pytest.mark.parametrize(
    ("verb", "service", "call"),
    [("runs", "trainer", "runs"), ("rollouts", "deployer", "rollouts"), ("drift", "monitor", "drift")],
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


def test_what_drifted_is_told_with_its_size_and_certainty(asked: Asked) -> None:
    payload = {
        "severity": "critical",
        "kind": "performance",
        "subject": "error_rate",
        "model_version": 3,
        "reason": "r",
    }
    payload |= {"detector": "adwin", "statistic": 0.25, "p_value": 0.001, "occurred_at": "x"}
    event = {"event_id": ID, "occurred_at": "2026-11-21T21:08:29.1", "correlation_id": ID, "payload": payload}
    result = asked("drift", "m", monitor={"drift": [event]})
    told = ["2026-11-21", "21:08:29", "critical", "performance", "error_rate", "3", "adwin", "0.25", "0.001", ID, "r"]
    assert result.stdout.splitlines()[-1].split() == told


def test_a_story_that_nobody_told_is_an_error(asked: Asked) -> None:
    result = asked("story", ID, "-o", "json", monitor={"story": []})
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"no event carries {ID}" in result.stderr


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
    assert " ".join(table.splitlines()[-1].split()).endswith("gate version moved v1 approved by policy [x]")
    assert (
        json.loads(asked("history", "m", "-o", "json", registry={"history": (fact,)}).stdout)[0]["stage"] == "approved"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nope.v1", "monitor"), "topic: there is no 'nope.v1'; there are deployment."),
        (("serving.prediction.logged.v1", "nobody"), "service: there is no 'nobody'; there are registry"),
        (("serving.prediction.logged.v1", "monitor"), "the broker does not answer: KafkaConnectionError"),
    ],
)
@pytest.mark.parametrize("error", [KafkaConnectionError("nobody listens"), BrokerAway("KafkaConnectionError: nobody")])
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


# ---- train: what it waits for

RUN = {"run_id": ID, "model": "m", "state": "succeeded", "version": 3, "reason": "best"}
DEPLOY = {"challenger_version": 3, "verdict": "deploy", "report": {"reasons": ["better"]}}
PROMOTED = {"to_version": 3, "strategy": "full", "state": "promoted", "reason": "it answers", "weight_percent": 100.0}


def outcome(rollouts: list[Any], evaluations: list[Any], approval: str = "automatic") -> str:
    platform: Any = SimpleNamespace(
        deployer=Fake(rollouts=_answering(rollouts)),
        evaluator=Fake(evaluations=_answering(evaluations)),
        registry=Fake(policy=_answering(SimpleNamespace(approval=approval))),
    )
    return train_module._await_outcome(platform, RUN, lambda _: None)


def test_training_ends_when_its_version_answers() -> None:
    other = {**PROMOTED, "to_version": 2}
    assert outcome([PROMOTED, other], [DEPLOY]) == "version 3 promoted: it answers"


def test_training_ends_when_its_version_is_refused() -> None:
    verdict = {**DEPLOY, "verdict": "continue_tuning"}
    assert outcome([], [verdict]) == "continue tuning: better"


def test_training_does_not_wait_for_people_or_traffic() -> None:
    assert "waits for an approval" in outcome([], [DEPLOY], approval="manual")
    canary = {**PROMOTED, "strategy": "canary", "state": "shifting", "weight_percent": 5.0}
    assert "answers 5 % of the traffic as a canary" in outcome([canary], [DEPLOY])


def test_training_that_is_never_judged_ends_with_what_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(train_module, "POLL_S", 0.01)
    with pytest.raises(Exception, match="not judged yet; see `modelyard history m`"):
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
    assert "starting the broker" in result.stdout


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
