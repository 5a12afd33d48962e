"""The command line and the local stack with a Kafka of the user's own that asks who connects."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from modelyard_cli.__main__ import app
from modelyard_cli.stack.layout import StackError
from modelyard_cli.stack.supervisor import check_kafka
from modelyard_devstack.testing.secured_kafka import SecuredKafka
from modelyard_runtime.kafka.acl_setup import main
from modelyard_runtime.kafka.acls import acls

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(180)]


def test_the_command_adds_the_rights_as_an_administrator_only(kafka: SecuredKafka) -> None:
    added = CliRunner().invoke(app, ["kafka", "acls", "--apply"], env=kafka.environment("admin"))
    assert (added.exit_code, added.stdout.split()[0]) == (0, str(len(acls())))
    denied = CliRunner().invoke(app, ["kafka", "acls", "--apply"], env=kafka.environment("trainer"))
    assert denied.exit_code == 2
    assert "connect as an administrator" in denied.stderr


def test_the_job_of_the_deployment_adds_them(
    kafka: SecuredKafka, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in kafka.environment("admin").items():
        monkeypatch.setenv(name, value)
    main()
    assert capsys.readouterr().out.startswith(f"added {len(acls())} access rights to Kafka at 127.0.0.1:")


def test_a_stack_signs_in_and_refuses_to_start_with_a_wrong_password(
    kafka: SecuredKafka, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in kafka.environment("registry").items():
        monkeypatch.setenv(name, value)
    check_kafka()
    (tmp_path / "password").write_text("wrong")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD_FILE", str(tmp_path / "password"))
    with pytest.raises(StackError, match="the broker refuses user 'registry' or the password"):
        check_kafka()


def test_dead_letters_are_read_with_the_credentials_of_the_environment(kafka: SecuredKafka, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("my_admin_key")
    services = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")
    urls = {f"{name.upper()}_URL": "http://127.0.0.1:1" for name in services}
    platform = {**urls, "CLICKHOUSE_URL": "http://127.0.0.1:1", "MODELYARD_ADMIN_KEY_FILE": str(key)}
    command = ["dead-letters", "list", "registry.resource.changed.v1", "monitor", "-o", "json"]
    answered = CliRunner().invoke(app, command, env={**platform, **kafka.environment("operator")})
    assert (answered.exit_code, answered.stdout.strip()[:1]) == (0, "[")
    refused = CliRunner().invoke(
        app, command, env={**platform, **kafka.environment("operator"), "KAFKA_SASL_USERNAME": "nobody"}
    )
    assert refused.exit_code == 2
    assert "the broker refuses user 'nobody' or the password" in refused.stderr
