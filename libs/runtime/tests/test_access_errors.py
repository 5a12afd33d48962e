"""What health and logs report about a Kafka that refuses a client."""

import asyncio
import ssl

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from pydantic import SecretStr

from modelyard_runtime.brokers import Brokers, Security
from modelyard_runtime.errors import BrokerAway
from modelyard_runtime.kafka.access_errors import denied, explain
from modelyard_runtime.kafka.topics import create_topics

ROUTER = Brokers(
    "one:9092", Security(protocol="SASL_SSL", mechanism="PLAIN", username="router", password=SecretStr("s"))
)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            SaslAuthenticationFailed("no"),
            "the broker refuses user 'router' or the password (PLAIN); correct KAFKA_SASL",
        ),
        (UnsupportedSaslMechanismError("no"), "the broker does not offer PLAIN here; correct KAFKA_SASL_MECHANISM"),
        (TopicAuthorizationFailedError("t"), "user 'router' lacks a right on the topic t; see `modelyard kafka acls`"),
        (TopicAuthorizationFailedError({"b", "a"}), "user 'router' lacks a right on the topic a, b; see"),
        (GroupAuthorizationFailedError("g"), "user 'router' lacks a right on the group g; see"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "no TLS on this port"),
        (
            KafkaConnectionError("Connection at one:9092 closed"),
            "the broker closes the connection; it may need another",
        ),
        (BrokerAway("as it is"), "as it is"),
        (ValueError("something else"), "ValueError: something else"),
    ],
)
def test_an_error_is_a_sentence(error: Exception, sentence: str) -> None:
    assert explain(error, ROUTER).startswith(sentence)


def test_only_a_missing_right_is_a_denial() -> None:
    assert denied(TopicAuthorizationFailedError("t"))
    assert not denied(SaslAuthenticationFailed("no"))
    assert not denied(KafkaConnectionError("closed"))


@pytest.mark.server
def test_a_port_that_nobody_listens_on_is_reported_with_its_reason() -> None:
    with pytest.raises(BrokerAway, match=r"Kafka at 127\.0\.0\.1:1: .*Connect call failed"):
        asyncio.run(create_topics("127.0.0.1:1", {}))
