"""docker-compose.yml agrees with the settings classes: every variable is known, every required one is set.

Docker is not needed. Each check is seen to fail on a changed copy of the file.
"""

import copy
import importlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.fields import FieldInfo

from modelyard_contracts.keyring import KeyRing
from modelyard_devstack.testing.secured_kafka import create_secrets
from modelyard_runtime.errors import StartupError
from modelyard_runtime.kafka.acls import OPERATOR, UPSTREAM
from modelyard_runtime.kafka.acls import SERVICES as PRINCIPALS
from modelyard_runtime.settings import ServiceSettings
from modelyard_runtime.signing.files import open_signer

ROOT = Path(__file__).parents[2]
SERVICES = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")
CONSOLE = "console"
"""It has no access to Kafka."""
INFRASTRUCTURE = {"kafka", "clickhouse", "postgres", "ingress"}
JOBS = {"kafka-acls"}
"""Containers that end."""
PENDING = {"ROUTER_ENTITY_SECRET_FILE"}
"""Settings that the services are about to gain."""
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
    assert set(compose["services"]) == {*SERVICES, CONSOLE, *INFRASTRUCTURE, *JOBS}


@pytest.mark.parametrize("service", [*SERVICES, CONSOLE])
def test_settings_and_compose_agree(compose: Compose, service: str) -> None:
    assert list(complaints(compose, service)) == []


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the secrets that deploy/compose-env creates."""
    folder = tmp_path_factory.mktemp("deployment")
    create_secrets(folder)
    return folder


def load_settings(compose: Compose, service: str, monkeypatch: pytest.MonkeyPatch, deployment: Path) -> ServiceSettings:
    """The service's settings from its environment in the compose file, with the script's secrets.

    A variable that compose takes from the operator has its default, or `secret` without one.
    """
    definition = compose["services"][service]
    files = {secret["target"]: compose["secrets"][secret["source"]]["file"] for secret in secrets_of(definition)}
    for name, value in definition["environment"].items():
        target = str(value).removeprefix("/run/secrets/")
        text = re.sub(r"\$\{\w+(:-)?([^}]*)\}", lambda found: found[2] if found[1] else "secret", str(value))
        text = str(deployment / files[target]) if target in files else text
        monkeypatch.setenv(name, text)
    settings = settings_class(service)()
    settings.check_files()
    return settings


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_given_its_own_key_and_every_secret_that_it_names(compose: Compose, service: str) -> None:
    definition = compose["services"][service]
    secrets = secrets_of(definition)
    keys = {each["source"] for each in secrets if each["source"].endswith("_key")}
    signing = {each["source"] for each in secrets if each["source"].endswith("_signing")}
    assert signing == {f"{service}_signing"}
    assert keys == {f"{service}_key"} | ({"admin_key"} if service == "registry" else set())
    named = {value.removeprefix("/run/secrets/") for name, value in file_variables(definition)}
    assert named == {each["target"] for each in secrets}
    assert {each["source"] for each in secrets} <= set(compose["secrets"])
    passwords = {each["source"] for each in secrets if each["target"] == "kafka_password"}
    assert (passwords, definition["environment"]["KAFKA_SASL_USERNAME"]) == ({f"{service}_kafka"}, service)


def secrets_of(definition: Compose) -> list[dict[str, str]]:
    """Secrets of a container, each as source and target."""
    return [{"source": each, "target": each} if isinstance(each, str) else each for each in definition["secrets"]]


def file_variables(definition: Compose) -> list[tuple[str, str]]:
    """Variables that name a secret file."""
    return [item for item in definition["environment"].items() if item[0].endswith("_FILE")]


@pytest.mark.process
def test_the_script_creates_every_secret_once(compose: Compose, deployment: Path) -> None:
    files = {deployment / secret["file"] for secret in compose["secrets"].values()}
    first = {file: file.read_text() for file in files}
    subprocess.run([deployment / "deploy" / "compose-env"], check=True, capture_output=True)
    assert {file: file.read_text() for file in files} == first
    assert {file.stat().st_mode & 0o777 for file in files} == {0o444}
    assert (deployment / ".secrets").stat().st_mode & 0o777 == 0o700
    assert len(set(first.values())) == len(files)
    assert all(KeyRing.parse(file.read_text()) for file in files if file.suffix == ".keys")


@pytest.mark.process
def test_the_script_creates_signing_keys_that_the_trust_document_has(deployment: Path) -> None:
    secrets = deployment / ".secrets"
    for service in SERVICES:
        assert open_signer(service, secrets / "signing" / f"{service}.keys", secrets / "trust.json") is not None


@pytest.mark.process
def test_a_replaced_password_reaches_the_users_of_kafka(tmp_path: Path) -> None:
    secrets = create_secrets(tmp_path)
    users = secrets / "users.properties"
    before = users.read_text()
    (secrets / "router.password").unlink()
    subprocess.run([tmp_path / "deploy" / "compose-env"], check=True, capture_output=True)
    fresh = (secrets / "router.password").read_text().strip()
    assert fresh not in before
    assert f'user_router="{fresh}"' in users.read_text()


@pytest.mark.process
def test_kafka_has_a_user_for_every_principal_and_no_open_listener(deployment: Path) -> None:
    users = re.findall(r"user_(\w+)=", (deployment / ".secrets/kafka/users.properties").read_text())
    assert set(users) == {*PRINCIPALS, OPERATOR, UPSTREAM, "admin", "broker"}
    properties = dict(
        line.split("=", 1)
        for line in (ROOT / "deploy/kafka/server.properties").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    protocols = dict(part.split(":") for part in properties["listener.security.protocol.map"].split(","))
    assert set(protocols.values()) == {"SASL_SSL"}
    assert {part.split(":")[0] for part in properties["listeners"].split(",")} == set(protocols)
    assert properties["super.users"] == "User:broker;User:admin"
    assert properties["authorizer.class.name"].endswith("StandardAuthorizer")
    assert properties["allow.everyone.if.no.acl.found"] == "false"


def test_kafka_is_started_with_the_tested_properties(compose: Compose) -> None:
    """tests/kafka_access starts a Kafka with this file; variables could override it, so there are none."""
    kafka = compose["services"]["kafka"]
    assert "./deploy/kafka/server.properties:/mnt/shared/config/server.properties:ro" in kafka["volumes"]
    assert "environment" not in kafka
    named = set(re.findall(r"/run/secrets/(\w+)", (ROOT / "deploy/kafka/server.properties").read_text()))
    assert named | {"kafka_admin"} == {secret["target"] for secret in secrets_of(kafka)}


def test_the_rights_are_added_before_a_service_starts(compose: Compose) -> None:
    job = compose["services"]["kafka-acls"]
    assert job["command"] == ["python", "-m", "modelyard_runtime.kafka.acl_setup"]
    assert job["environment"]["KAFKA_SASL_USERNAME"] == "admin"
    assert {"source": "admin_kafka", "target": "kafka_password"} in secrets_of(job)
    for service in SERVICES:
        assert compose["services"][service]["depends_on"]["kafka-acls"] == {
            "condition": "service_completed_successfully"
        }


@pytest.mark.parametrize("service", SERVICES)
def test_the_values_make_a_settings_object(
    compose: Compose, service: str, monkeypatch: pytest.MonkeyPatch, deployment: Path
) -> None:
    brokers = load_settings(compose, service, monkeypatch, deployment).brokers
    assert brokers.bootstrap == "kafka:19092"
    assert (brokers.security.protocol, brokers.security.check_hostname) == ("SASL_SSL", True)
    password = (deployment / ".secrets" / "kafka" / f"{service}.password").read_text().strip()
    assert brokers.security.client_settings()["sasl_plain_password"] == password


def test_an_unknown_setting_is_found(compose: Compose) -> None:
    changed = copy.deepcopy(compose)
    changed["services"]["router"]["environment"]["ROUTER_COLOUR"] = "red"
    assert list(complaints(changed, "router")) == ["router: ROUTER_COLOUR is not a setting"]


def test_a_service_without_a_key_does_not_start(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, deployment: Path
) -> None:
    changed = copy.deepcopy(compose)
    environment = changed["services"]["router"]["environment"]
    for name in [name for name in compose["services"]["router"]["environment"] if name.endswith("_KEY_FILE")]:
        del environment[name]
    with pytest.raises(StartupError, match="_KEY_FILE: required"):
        load_settings(changed, "router", monkeypatch, deployment)


@pytest.mark.parametrize("service", [*SERVICES, CONSOLE, *sorted(INFRASTRUCTURE)])
def test_every_container_has_a_health_check_and_waits_for_its_dependencies(compose: Compose, service: str) -> None:
    definition = compose["services"][service]
    assert definition["healthcheck"]["test"]
    needs = definition.get("depends_on", {})
    assert all(
        need["condition"] == ("service_completed_successfully" if name in JOBS else "service_healthy")
        for name, need in needs.items()
    )
    assert service in INFRASTRUCTURE - {"ingress"} or needs


def test_the_console_has_its_own_key_and_no_way_into_kafka(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, deployment: Path
) -> None:
    definition = compose["services"][CONSOLE]
    assert secrets_of(definition) == [{"source": "console_key", "target": "service_key"}]
    assert not [name for name in definition["environment"] if name.startswith("KAFKA")]
    own = (deployment / ".secrets/keys/console.key").read_text().strip()
    assert load_settings(compose, CONSOLE, monkeypatch, deployment).service_key == own


def test_nothing_is_published_beyond_loopback(compose: Compose) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_is_in_the_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name, value in re.findall(r"^\s+(\w*(?:PASSWORD|KEY)\w*): (.+)$", text, re.MULTILINE):
        assert value.startswith(("${", "/run/")), name


def test_every_bind_mount_and_build_file_exists(compose: Compose) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]  # a folder of secrets, a file of ours, or a named volume
            assert not source.startswith("./") or source == "./.secrets/keys" or (ROOT / source).is_file(), source
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()
            assert service["build"]["args"]["SERVICE"] in (*SERVICES, CONSOLE)


def test_the_ingress_reaches_every_service_on_its_port(compose: Compose) -> None:
    routes = re.findall(r"location /(\w+)/\s+\{ proxy_pass http://(\w+):(\d+)/; \}", _ingress())
    assert sorted(routes) == sorted(
        (name, name, str(compose["services"][name]["environment"][f"{name.upper()}_PORT"])) for name in SERVICES
    )
    port = compose["services"][CONSOLE]["environment"]["CONSOLE_PORT"]
    assert re.findall(r"location / +\{ proxy_pass http://(\w+):(\d+); \}", _ingress()) == [(CONSOLE, str(port))]


def test_the_ingress_takes_every_artifact_that_the_registry_takes() -> None:
    [limit] = re.findall(r"client_max_body_size (\d+)g;", _ingress())
    assert int(limit) * 1024**3 >= settings_class("registry").model_fields["max_blob_bytes"].default


@pytest.mark.process
def test_make_up_passes_arguments_on() -> None:
    make = ["make", "-n", "-o", "setup", "up", "ARGS=--any-ports"]
    alone = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    shown = subprocess.run(make, cwd=ROOT, env=alone, capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.splitlines()[-1].endswith("modelyard up --any-ports")


def _ingress() -> str:
    return (ROOT / "deploy" / "ingress" / "nginx.conf").read_text()


def test_each_database_of_a_url_is_created() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    wanted = set(re.findall(r"@postgres/(\w+)", text))
    made = set(re.findall(r"CREATE DATABASE (\w+);", (ROOT / "deploy/postgres/databases.sql").read_text()))
    assert wanted == made
