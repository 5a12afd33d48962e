"""Settings fail the start with field, variable and remedy."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.settings import ClickHouseSettings, DatabaseSettings, ServiceSettings, load_settings


class Settings(ServiceSettings, DatabaseSettings, ClickHouseSettings):
    model_config = SettingsConfigDict(env_prefix="TOY_", frozen=True, populate_by_name=True, extra="ignore")
    port: int = 8199
    names: dict[str, str] = Field(default_factory=dict)


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "admin.key"
    file.write_text("0123456789abcdef0123456789abcdef\n")
    monkeypatch.setenv("MODELYARD_ADMIN_KEY_FILE", str(file))
    return file


@pytest.mark.usefixtures("key_file")
def test_shared_names_have_no_prefix_and_own_ones_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.setenv("TOY_PORT", "9000")
    monkeypatch.setenv("TOY_DATABASE_URL", "postgresql://u:pw@db/toy")
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "secret")
    settings = load_settings(Settings)
    assert (settings.kafka_bootstrap_servers, settings.port) == ("broker:9092", 9000)
    assert settings.resolved_database_url == "postgresql://u:pw@db/toy"
    assert settings.clickhouse_password.get_secret_value() == "secret"
    assert "secret" not in repr(settings)
    assert "pw" not in repr(settings)
    assert settings.admin_key == "0123456789abcdef0123456789abcdef"
    with pytest.raises(Exception, match="frozen"):
        setattr(settings, "port", 1)  # noqa: B010  the type checker knows it too


@pytest.mark.usefixtures("key_file")
@pytest.mark.parametrize(("given", "days"), [(None, 104), ("400", 400)], ids=["by default", "given"])
def test_handled_events_are_remembered_longer_than_the_broker_can_repeat_them(
    monkeypatch: pytest.MonkeyPatch, given: str | None, days: int
) -> None:
    if given:
        monkeypatch.setenv("TOY_INBOX_KEEP_DAYS", given)
    assert load_settings(Settings).inbox_keep == timedelta(days=days)


def test_settings_can_be_made_by_name_in_tests(key_file: Path, tmp_path: Path) -> None:
    settings = Settings(admin_key_file=key_file, port=0, data_dir=tmp_path / "toy")
    assert settings.resolved_database_url == f"sqlite:///{tmp_path / 'toy' / 'service.db'}"
    assert (tmp_path / "toy").is_dir()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("TOY_PORT", "eighty", ["port:", "TOY_PORT", "'eighty'", "whole number"]),
        ("TOY_PORT", "70000", ["port:", "TOY_PORT", "65535"]),
        ("REGISTRY_URL", "registry", ["registry_url:", "REGISTRY_URL"]),
        ("TOY_NAMES", "{'a': 1}", ["names: not JSON", "TOY_NAMES", "line 1"]),
        ("TOY_INBOX_KEEP_DAYS", "30", ["inbox_keep_days:", "TOY_INBOX_KEEP_DAYS", "at least 90"]),
        ("TOY_INBOX_KEEP_DAYS", "nan", ["inbox_keep_days:", "at least 90"]),
        ("MODELYARD_LOG_LEVEL", "LOUD", ["log_level:", "MODELYARD_LOG_LEVEL", "'LOUD'"]),
        ("MODELYARD_ADMIN_KEY_FILE", None, ["MODELYARD_SERVICE_KEY_FILE: required", "name the file"]),
        ("MODELYARD_SERVICE_KEY_FILE", "/nowhere/key", ["MODELYARD_SERVICE_KEY_FILE", "/nowhere/key", "write a key"]),
        ("MODELYARD_ADMIN_KEY_FILE", "/nowhere/key", ["MODELYARD_ADMIN_KEY_FILE", "/nowhere/key", "write a key"]),
    ],
)
@pytest.mark.usefixtures("key_file")
def test_a_bad_setting_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str | None,
    says: list[str],
) -> None:
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        load_settings(Settings)
    [line] = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert all(word in line for word in says), line


def test_a_short_admin_key_is_refused(key_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key_file.write_text("short")
    with pytest.raises(SystemExit):
        load_settings(Settings)
    assert "shorter than 16" in capsys.readouterr().err
