"""Settings of a secured Kafka: combinations that would protect less than they promise do not start."""

import ssl
from pathlib import Path

import pytest
from pydantic import SecretStr

from modelyard_runtime.brokers import Brokers, Security, client_settings
from modelyard_runtime.errors import BrokerAway, StartupError
from modelyard_runtime.kafka_settings import KafkaSettings
from modelyard_runtime.settings import EXIT_BAD_SETTINGS, ServiceSettings, load_settings

SCRAM = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "router",
}


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> KafkaSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return KafkaSettings()


def test_without_settings_the_broker_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    brokers = settings(monkeypatch, KAFKA_BOOTSTRAP_SERVERS="one:9092,two:9092").brokers
    assert client_settings(brokers) == client_settings("one:9092,two:9092")
    assert client_settings(brokers)["security_protocol"] == "PLAINTEXT"


def test_a_password_of_a_file_is_read_for_each_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    brokers = settings(monkeypatch, **SCRAM, KAFKA_SASL_PASSWORD_FILE=str(file)).brokers
    assert client_settings(brokers)["sasl_plain_password"] == "first"
    file.write_text("second\n")
    assert client_settings(brokers)["sasl_plain_password"] == "second"
    file.unlink()
    with pytest.raises(BrokerAway, match="KAFKA_SASL_PASSWORD_FILE: cannot read"):
        client_settings(brokers)


def test_empty_variables_are_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {"KAFKA_SASL_MECHANISM": "", "KAFKA_SASL_USERNAME": "", "KAFKA_SSL_CA_FILE": "", "KAFKA_SASL_PASSWORD": ""}
    assert settings(monkeypatch, **empty).brokers.security == Security()


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"KAFKA_SASL_USERNAME": "a"}, "KAFKA_SASL_USERNAME: not used with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({"KAFKA_SASL_PASSWORD": "a"}, "KAFKA_SASL_PASSWORD: not used with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({"KAFKA_SSL_CA_FILE": "/ca"}, "KAFKA_SSL_CA_FILE: not used with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({"KAFKA_SSL_CHECK_HOSTNAME": "false"}, "KAFKA_SSL_CHECK_HOSTNAME: not used with"),
        (
            {**SCRAM, "KAFKA_SASL_PASSWORD": "a", "KAFKA_SSL_CA_FILE": "/ca"},
            "KAFKA_SSL_CA_FILE: not used with .*SASL_PLAINTEXT; use SASL_SSL",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SASL_USERNAME": "a"}, "KAFKA_SASL_USERNAME: .*use SASL_SSL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_MECHANISM: required with SASL_SSL; set one of PLAIN"),
        (SCRAM, "KAFKA_SASL_PASSWORD_FILE: required with SCRAM-SHA-512"),
        ({**SCRAM, "KAFKA_SASL_USERNAME": ""}, "KAFKA_SASL_USERNAME: required with SCRAM-SHA-512"),
        (
            {**SCRAM, "KAFKA_SASL_PASSWORD": "a", "KAFKA_SASL_PASSWORD_FILE": "/f"},
            "contradicts KAFKA_SASL_PASSWORD_FILE",
        ),
        ({**SCRAM, "KAFKA_SASL_PASSWORD": "a", "KAFKA_SASL_TOKEN_FILE": "/f"}, "KAFKA_SASL_TOKEN_FILE: not used with"),
        ({**SCRAM, "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}, "KAFKA_SASL_USERNAME: not used with .*=OAUTHBEARER"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"},
            "KAFKA_SASL_TOKEN_FILE: required with OAUTHBEARER",
        ),
        ({**SCRAM, "KAFKA_SASL_PASSWORD_FILE": "/no/such"}, "KAFKA_SASL_PASSWORD_FILE: cannot read /no/such"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_FILE": "/no/such"}, "KAFKA_SSL_CA_FILE: cannot use /no/such"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY_FILE": "/k"}, "KAFKA_SSL_CERTIFICATE_FILE: required with"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CERTIFICATE_FILE": "/no/such"},
            "KAFKA_SSL_CERTIFICATE_FILE: cannot use /no/such",
        ),
    ],
)
def test_a_wrong_combination_names_the_setting_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], complaint: str
) -> None:
    with pytest.raises(StartupError, match=complaint):
        _ = settings(monkeypatch, **variables).brokers


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_a_file_without_certificates_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(content)
    with pytest.raises(StartupError, match=r"KAFKA_SSL_CA_FILE: cannot use .* in PEM"):
        _ = settings(monkeypatch, KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_SSL_CA_FILE=str(file)).brokers


def test_a_service_with_a_wrong_combination_exits_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 40)
    monkeypatch.setenv("MODELYARD_SERVICE_KEY_FILE", str(key))
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    with pytest.raises(SystemExit) as end:
        load_settings(ServiceSettings)
    assert end.value.code == EXIT_BAD_SETTINGS
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("bad settings: KAFKA_SASL_MECHANISM: required with SASL_SSL")


def test_an_unknown_protocol_names_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "TLS")
    with pytest.raises(SystemExit):
        load_settings(KafkaSettings)
    [line] = capsys.readouterr().err.splitlines()
    assert "kafka_security_protocol" in line
    assert "SASL_PLAINTEXT, SASL_SSL" in line


def test_no_secret_is_in_a_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch, **SCRAM, KAFKA_SASL_PASSWORD="top-secret")
    assert client_settings(found.brokers)["sasl_plain_password"] == "top-secret"
    for value in (found, found.brokers, found.brokers.security, found.model_dump()):
        assert "top-secret" not in f"{value!r} {value}"


def test_a_rejected_value_that_holds_a_password_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "GSSAPI")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "top-secret")
    with pytest.raises(SystemExit):
        load_settings(KafkaSettings)
    assert "top-secret" not in capsys.readouterr().err


def test_tls_verifies_the_certificate_and_the_host_name_unless_it_is_switched_off() -> None:
    strict = Security(protocol="SSL").tls_context()
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert strict.minimum_version >= ssl.TLSVersion.TLSv1_2
    loose = Security(protocol="SSL", check_hostname=False).tls_context()
    assert (loose.verify_mode, loose.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_brokers_read_as_their_addresses() -> None:
    assert f"Kafka at {Brokers('one:1', Security(password=SecretStr('x')))}" == "Kafka at one:1"
