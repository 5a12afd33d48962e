"""docker-compose.yml against the settings classes: every variable is known, every required one is given.

No engine is needed: the file is parsed. The guards are seen to fail on a changed copy.
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
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]
SERVICES = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")
INFRASTRUCTURE = {"kafka", "clickhouse", "postgres", "ingress"}
SHARED_URLS = {f"{name.upper()}_URL" for name in SERVICES}

Compose = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> Compose:
    loaded: Compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def settings_class(service: str) -> type[BaseSettings]:
    found: type[BaseSettings] = importlib.import_module(f"modelyard_{service}.settings").Settings
    return found


def variables(settings: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Environment variable to field, as pydantic-settings reads them."""
    prefix = settings.model_config.get("env_prefix", "")
    return {(field.alias or f"{prefix}{name}").upper(): field for name, field in settings.model_fields.items()}


def complaints(compose: Compose, service: str) -> Iterator[str]:
    """What of one service's environment its settings class would not take."""
    known = variables(settings_class(service))
    given = compose["services"][service]["environment"]
    for name in given:
        # The block that all services share may name more than one service reads; its own variables may not.
        if name not in known and (name.startswith(f"{service.upper()}_") and name not in SHARED_URLS):
            yield f"{service}: {name} is no setting"
    for name, field in known.items():
        if field.is_required() and name not in given:
            yield f"{service}: {name} is required and not given"
    port = known[f"{service.upper()}_PORT"]
    if int(given[f"{service.upper()}_PORT"]) != port.default:
        yield f"{service}: listens on {given[f'{service.upper()}_PORT']}, its default is {port.default}"


def test_every_service_is_there(compose: Compose) -> None:
    assert set(compose["services"]) == {*SERVICES, *INFRASTRUCTURE}


@pytest.mark.parametrize("service", SERVICES)
def test_settings_and_compose_agree(compose: Compose, service: str) -> None:
    assert list(complaints(compose, service)) == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_values_make_a_settings_object(
    compose: Compose, service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 40)
    for name, value in compose["services"][service]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{[^}]*\}", "secret", str(value)))
    monkeypatch.setenv("MODELYARD_ADMIN_KEY_FILE", str(key))
    made = settings_class(service)()
    assert made.model_dump()["kafka_bootstrap_servers"] == "kafka:19092"


def test_an_unknown_setting_is_found(compose: Compose) -> None:
    changed = copy.deepcopy(compose)
    changed["services"]["router"]["environment"]["ROUTER_COLOUR"] = "red"
    assert list(complaints(changed, "router")) == ["router: ROUTER_COLOUR is no setting"]


def test_a_missing_required_setting_is_found(compose: Compose) -> None:
    changed = copy.deepcopy(compose)
    del changed["services"]["router"]["environment"]["MODELYARD_ADMIN_KEY_FILE"]
    assert "MODELYARD_ADMIN_KEY_FILE is required" in " ".join(complaints(changed, "router"))


@pytest.mark.parametrize("service", [*SERVICES, *sorted(INFRASTRUCTURE)])
def test_everything_has_a_health_check_and_starts_after_what_it_needs(compose: Compose, service: str) -> None:
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
