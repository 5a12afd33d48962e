"""docker-compose.yml agrees with the settings classes: every variable is known, every required one is set.

Docker is not needed. Each check is seen to fail on a changed copy of the file.
"""

import copy
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.fields import FieldInfo

from modelyard_runtime.errors import StartupError
from modelyard_runtime.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
SERVICES = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")
INFRASTRUCTURE = {"kafka", "clickhouse", "postgres", "ingress"}
SHARED_URLS = {f"{name.upper()}_URL" for name in SERVICES}

Compose = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> Compose:
    loaded: Compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def settings_class(service: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = importlib.import_module(f"modelyard_{service}.settings").Settings
    return found


def variables(settings: type[ServiceSettings]) -> dict[str, FieldInfo]:
    """Environment variable to field, as pydantic-settings reads them."""
    prefix = settings.model_config.get("env_prefix", "")
    return {(field.alias or f"{prefix}{name}").upper(): field for name, field in settings.model_fields.items()}


def complaints(compose: Compose, service: str) -> Iterator[str]:
    """Variables of one service that its settings class rejects or misses."""
    known = variables(settings_class(service))
    given = compose["services"][service]["environment"]
    for name in given:
        # The shared block may hold variables that a service does not read; its own variables must be known.
        if name not in known and (name.startswith(f"{service.upper()}_") and name not in SHARED_URLS):
            yield f"{service}: {name} is not a setting"
    for name, field in known.items():
        if field.is_required() and name not in given:
            yield f"{service}: {name} is required and missing"
    port = known[f"{service.upper()}_PORT"]
    if int(given[f"{service.upper()}_PORT"]) != port.default:
        yield f"{service}: listens on {given[f'{service.upper()}_PORT']}, its default is {port.default}"


def test_every_service_is_defined(compose: Compose) -> None:
    assert set(compose["services"]) == {*SERVICES, *INFRASTRUCTURE}


@pytest.mark.parametrize("service", SERVICES)
def test_settings_and_compose_agree(compose: Compose, service: str) -> None:
    assert list(complaints(compose, service)) == []


def load_settings(compose: Compose, service: str, monkeypatch: pytest.MonkeyPatch, key: Path) -> ServiceSettings:
    """The service's settings from its environment in the compose file, with `key` for every key file."""
    key.write_text("k" * 40)
    for name, value in compose["services"][service]["environment"].items():
        value = str(key) if name.endswith("_KEY_FILE") else re.sub(r"\$\{[^}]*\}", "secret", str(value))
        monkeypatch.setenv(name, value)
    settings = settings_class(service)()
    settings.check_files()
    return settings


@pytest.mark.parametrize("service", SERVICES)
def test_the_values_make_a_settings_object(
    compose: Compose, service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = load_settings(compose, service, monkeypatch, tmp_path / "key")
    assert settings.model_dump()["kafka_bootstrap_servers"] == "kafka:19092"


def test_an_unknown_setting_is_found(compose: Compose) -> None:
    changed = copy.deepcopy(compose)
    changed["services"]["router"]["environment"]["ROUTER_COLOUR"] = "red"
    assert list(complaints(changed, "router")) == ["router: ROUTER_COLOUR is not a setting"]


def test_a_service_without_a_key_does_not_start(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changed = copy.deepcopy(compose)
    environment = changed["services"]["router"]["environment"]
    for name in [name for name in environment if name.endswith("_KEY_FILE")]:
        del environment[name]
    with pytest.raises(StartupError, match="_KEY_FILE: required"):
        load_settings(changed, "router", monkeypatch, tmp_path / "key")


@pytest.mark.parametrize("service", [*SERVICES, *sorted(INFRASTRUCTURE)])
def test_every_container_has_a_health_check_and_waits_for_its_dependencies(compose: Compose, service: str) -> None:
    definition = compose["services"][service]
    assert definition["healthcheck"]["test"]
    needs = definition.get("depends_on", {})
    assert all(need["condition"] == "service_healthy" for need in needs.values())
    assert service in INFRASTRUCTURE - {"ingress"} or needs


def test_nothing_is_published_beyond_loopback(compose: Compose) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_is_in_the_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name, value in re.findall(r"^\s+(\w*(?:PASSWORD|KEY)\w*): (.+)$", text, re.MULTILINE):
        assert value.startswith(("${", "/run/secrets/")), name


def test_every_bind_mount_and_build_file_exists(compose: Compose) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert not source.startswith("./") or (ROOT / source).is_file(), source
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()
            assert service["build"]["args"]["SERVICE"] in SERVICES


def test_the_ingress_reaches_every_service_on_its_port(compose: Compose) -> None:
    routes = re.findall(r"location /(\w+)/\s+\{ proxy_pass http://(\w+):(\d+)/; \}", _ingress())
    assert sorted(routes) == sorted(
        (name, name, str(compose["services"][name]["environment"][f"{name.upper()}_PORT"])) for name in SERVICES
    )


def _ingress() -> str:
    return (ROOT / "deploy" / "ingress" / "nginx.conf").read_text()


def test_each_database_of_a_url_is_created() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    wanted = set(re.findall(r"@postgres/(\w+)", text))
    made = set(re.findall(r"CREATE DATABASE (\w+);", (ROOT / "deploy/postgres/databases.sql").read_text()))
    assert wanted == made
