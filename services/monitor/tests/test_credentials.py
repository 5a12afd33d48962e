"""Faust signs in to Kafka as every other client does."""

from pathlib import Path

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from pydantic import SecretStr

from modelyard_monitor.detect.credentials import credentials
from modelyard_runtime.brokers import Security


@pytest.mark.parametrize(
    "security",
    [
        Security(),
        Security(protocol="SSL"),
        Security(protocol="SASL_PLAINTEXT", mechanism="PLAIN", username="monitor", password=SecretStr("secret")),
        Security(protocol="SASL_SSL", mechanism="SCRAM-SHA-256", username="monitor", password=SecretStr("secret")),
        Security(protocol="SASL_SSL", mechanism="SCRAM-SHA-512", username="monitor", password=SecretStr("secret")),
    ],
    ids=lambda security: f"{security.protocol} {security.mechanism}",
)
def test_faust_hands_aiokafka_what_our_clients_hand_it(security: Security) -> None:
    given = dict(credentials_to_aiokafka_auth(credentials(security)))
    wanted = security.client_settings()
    assert (given.pop("ssl_context", None) is None) is (wanted.pop("ssl_context", None) is None)
    assert given == wanted


async def test_a_bearer_token_is_read_for_each_connection(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    security = Security(protocol="SASL_SSL", mechanism="OAUTHBEARER", token_file=token)
    provider = credentials_to_aiokafka_auth(credentials(security))["sasl_oauth_token_provider"]
    assert await provider.token() == "first"
    token.write_text("second")
    assert await provider.token() == "second"
