"""Every way to sign in, and what a service reports that cannot."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from modelyard_devstack.testing import Process, stays, wait_until
from modelyard_devstack.testing.secured_kafka import PASSWORD, SecuredKafka, unsigned_token
from modelyard_runtime.brokers import Brokers
from modelyard_runtime.errors import BrokerAway
from modelyard_runtime.kafka import Producer
from modelyard_runtime.kafka.acls import acls, commands, documents

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(180)]
TOPIC = "registry.resource.changed.v1"
WRONG = "not-the-password"
SCRAM: dict[str, Any] = {"mechanism": "SCRAM-SHA-512", "username": "registry"}
PLAIN: dict[str, Any] = {"mechanism": "PLAIN", "username": "registry", "password": SecretStr(WRONG)}


async def send(brokers: Brokers) -> None:
    producer = Producer(brokers, "test", request_timeout_ms=10_000)
    try:
        await producer.send_bytes(TOPIC, "key", b"value")
    finally:
        await producer.stop()


# -- every mechanism ---------------------------------------------------------------------------------------------------


async def test_plain_and_scram(kafka: SecuredKafka) -> None:
    await send(kafka.brokers("registry"))
    await send(kafka.at("more", **SCRAM, password=SecretStr(PASSWORD)))


async def test_a_bearer_token_of_a_file(kafka: SecuredKafka, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(unsigned_token("registry", lifetime_s=600, now_s=int(time.time())))
    await send(kafka.at("more", mechanism="OAUTHBEARER", token_file=token))
    token.write_text(unsigned_token("registry", lifetime_s=600, now_s=int(time.time()) - 3_600))
    with pytest.raises(BrokerAway, match=r"the broker refuses the token in .*; renew it"):
        await send(kafka.at("more", mechanism="OAUTHBEARER", token_file=token))


async def test_a_client_certificate(kafka: SecuredKafka) -> None:
    """The name in the certificate is the principal: `kafka`, which has no rights."""
    certificate = kafka.secrets / "tls.pem"
    with pytest.raises(BrokerAway, match="the client certificate lacks a right on the cluster"):
        await send(kafka.at("mutual", protocol="SSL", certificate_file=certificate))
    with pytest.raises(BrokerAway, match="KAFKA_SSL_CERTIFICATE_FILE"):
        await send(kafka.at("mutual", protocol="SSL"))


# -- what is reported --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listener", "security", "sentence"),
    [
        (
            "external",
            PLAIN,
            r"the broker refuses user 'registry' or the password \(PLAIN\); correct KAFKA_SASL_USERNAME",
        ),
        ("more", {**SCRAM, "password": SecretStr(WRONG)}, r"refuses user 'registry' or the password \(SCRAM-SHA-512\)"),
        ("external", {**PLAIN, **SCRAM}, "does not offer SCRAM-SHA-512 here; correct KAFKA_SASL_MECHANISM"),
        ("external", {**PLAIN, "ca_file": None}, "certificate is not accepted .* KAFKA_SSL_CA_FILE"),
        ("external", {"protocol": "SSL"}, "another KAFKA_SECURITY_PROTOCOL than SSL, such as SASL_SSL"),
        ("external", {"protocol": "PLAINTEXT", "ca_file": None}, "another KAFKA_SECURITY_PROTOCOL than PLAINTEXT"),
        (
            "external",
            {**PLAIN, "protocol": "SASL_PLAINTEXT", "ca_file": None},
            "another KAFKA_SECURITY_PROTOCOL than SASL_PLAINTEXT",
        ),
    ],
)
async def test_a_refusal_is_a_sentence_with_the_setting_to_correct(
    kafka: SecuredKafka, listener: str, security: dict[str, Any], sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BrokerAway, match=sentence) as error:
        await send(kafka.at(listener, **security))
    assert WRONG not in str(error.value) + caplog.text


async def test_a_host_name_that_the_certificate_does_not_hold_is_refused(kafka: SecuredKafka) -> None:
    brokers = kafka.at("external", **PLAIN)
    other = Brokers(brokers.bootstrap.replace("127.0.0.1", "127.1"), brokers.security)
    with pytest.raises(BrokerAway, match=r"certificate is not accepted \(Hostname mismatch"):
        await send(other)


def test_a_service_with_a_wrong_password_waits_reports_it_and_recovers(kafka: SecuredKafka, tmp_path: Path) -> None:
    key, password = tmp_path / "admin.key", tmp_path / "password"
    key.write_text("a" * 40)
    password.write_text(WRONG)
    environment = {
        **kafka.environment("registry"),
        "KAFKA_SASL_PASSWORD_FILE": str(password),
        "MODELYARD_ADMIN_KEY_FILE": str(key),
        "REGISTRY_DATA_DIR": str(tmp_path / "data"),
        "REGISTRY_PORT": "0",
    }
    service = Process([sys.executable, "-m", "modelyard_registry"], environment)
    sentence = "the broker refuses user 'registry' or the password (PLAIN)"
    try:
        service.start()
        wait_until(lambda: sentence in json.dumps(health(service, key)), 60, what="the sentence in the health")
        assert sentence in service.output
        stays(lambda: service.running, 2)
        assert WRONG not in service.output + Path(f"/proc/{service.pid}/cmdline").read_text()
        password.write_text((kafka.secrets / "registry.password").read_text())
        wait_until(lambda: sentence not in json.dumps(health(service, key)), 60, what="the recovery without a restart")
        assert service.stop() == 0
        assert (kafka.secrets / "registry.password").read_text().strip() not in service.output
    finally:
        service.kill()


def health(service: Process, key: Path) -> Any:
    request = urllib.request.Request(
        f"{service.address}/health/ready", headers={"authorization": f"Bearer {key.read_text()}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as answer:
        return json.load(answer)


# -- Kafka's own tool --------------------------------------------------------------------------------------------------


def test_kafkas_own_tool_lists_exactly_our_rights_and_accepts_our_commands(
    kafka: SecuredKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = tmp_path / "admin.properties"
    text = (kafka.secrets / "admin.properties").read_text()
    admin.write_text(text.replace("/run/secrets/kafka_ca", str(kafka.secrets / "ca.pem")))
    tool = kafka.tool("org.apache.kafka.tools.AclCommand")
    address = f"127.0.0.1:{kafka.ports['external']}"
    command = max(commands(acls(), tool=tool), key=len)
    environment = {"KAFKA_BOOTSTRAP_SERVERS": address, "KAFKA_ADMIN_PROPERTIES": str(admin), "PATH": "/usr/bin:/bin"}
    added = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert added.returncode == 0, added.stderr + added.stdout
    listed = subprocess.run(
        f"{tool} --bootstrap-server {address} --command-config {admin} --list",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert listed.count("permissionType=ALLOW") == len(documents(acls()))
