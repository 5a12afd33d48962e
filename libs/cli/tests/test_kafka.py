"""`modelyard kafka acls`, and which credentials a local stack hands to its services."""

import json
import shlex

import pytest
from typer.testing import CliRunner

from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform, kafka_of_environment
from modelyard_cli.stack.child import Child
from modelyard_cli.stack.layout import Addresses, Layout, ServiceSpec, StackError
from modelyard_devstack.providers.clickhouse import Credentials
from modelyard_devstack.testing import wait_until

RIGHTS = ["kafka", "acls"]


def test_the_rights_are_commands_one_per_line_or_documents() -> None:
    lines = CliRunner().invoke(app, RIGHTS).stdout.splitlines()
    assert all(shlex.split(line)[0] == "kafka-acls.sh" for line in lines)
    documents = json.loads(CliRunner().invoke(app, [*RIGHTS, "-o", "json"]).stdout)
    routes = {
        (each["principal"], each["operation"])
        for each in documents
        if each["resource_name"] == "deployment.route.published.v1"
    }
    writers = {principal for principal, operation in routes if operation == "Write"}
    assert writers == {"User:deployer", "User:operator"}


def test_the_principals_follow_the_brokers_naming() -> None:
    named = CliRunner().invoke(app, [*RIGHTS, "--principal", "User:CN={service},O=Bank", "-o", "json"])
    assert "User:CN=router,O=Bank" in {each["principal"] for each in json.loads(named.stdout)}
    wrong = CliRunner().invoke(app, [*RIGHTS, "--principal", "router"])
    assert (wrong.exit_code, "must start with User:" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_MECHANISM: required with SASL_SSL"),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "correct the environment variable KAFKA_SECURITY_PROTOCOL"),
        ({"KAFKA_SASL_USERNAME": "me"}, "KAFKA_SASL_USERNAME: not used with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
    ],
)
def test_wrong_credentials_are_one_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], complaint: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StackError, match=complaint):
        kafka_of_environment()
    refused = CliRunner().invoke(app, [*RIGHTS, "--apply"], env=variables)
    assert (refused.exit_code, complaint in refused.stderr) == (2, True)


def test_a_broker_of_the_local_stack_is_asked_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "for another Kafka")
    platform = Platform(
        urls={},
        token="",
        clickhouse_url="",
        clickhouse_database="",
        data_dir=None,
        kafka_bootstrap="127.0.0.1:1",
        clickhouse_user="",
        clickhouse_password="",
        kafka_given=False,
    )
    assert platform.kafka.security.protocol == "PLAINTEXT"


@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False])
def test_services_take_the_credentials_to_a_kafka_of_the_users_own_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, given: bool
) -> None:
    """A stack with a broker of its own would not start with credentials that this broker does not know."""
    folder = tmp_path_factory.mktemp("stack")
    (folder / "modelyard_shows.py").write_text("import os; print('user', os.environ.get('KAFKA_SASL_USERNAME'))")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "me")
    layout = Layout(folder / "data")
    layout.prepare()
    reader = Credentials("reader", "none")
    spec = ServiceSpec("shows", 1)
    addresses = Addresses("127.0.0.1:1", given, "http://127.0.0.1:1", "ml", reader, reader, _ports())
    Child(spec, layout, addresses).start()
    log = layout.logs / "shows.log"
    wait_until(lambda: "user" in log.read_text(), 30)
    assert log.read_text().strip() == f"user {'me' if given else None}"


def _ports() -> dict[str, int]:
    return dict.fromkeys(("registry", "monitor", "router", "deployer", "evaluator", "trainer", "console", "shows"), 1)
