"""Errors of a secured Kafka, reported in a sentence that names the setting or the right to correct."""

import asyncio
import ssl
from typing import Any, Final

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)

from modelyard_runtime.brokers import Bootstrap, Security, brokers_of
from modelyard_runtime.errors import BrokerAway, ModelyardError
from modelyard_runtime.kafka.aiokafka_internals import connection_error

START_TIMEOUT_S: Final = 60.0
PROBE_TIMEOUT_S: Final = 5.0
GRANT: Final = "see `modelyard kafka acls` for the rights that a service needs"
DENIED: Final = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailed: "transactional id",
    ClusterAuthorizationFailedError: "cluster",
}


async def start_client(client: Any, bootstrap: Bootstrap) -> None:
    """Start an aiokafka client. BrokerAway states in a sentence why no broker accepts it."""
    if brokers_of(bootstrap).security.token_file and (reason := await connection_error(bootstrap, PROBE_TIMEOUT_S)):
        raise BrokerAway(f"Kafka at {bootstrap}: {explain(reason, bootstrap)}") from reason
    try:
        await asyncio.wait_for(client.start(), START_TIMEOUT_S)
    except (KafkaConnectionError, TimeoutError) as error:
        reason = await connection_error(bootstrap, PROBE_TIMEOUT_S)
        raise BrokerAway(f"Kafka at {bootstrap}: {explain(reason or error, bootstrap)}") from error


def denied(error: BaseException) -> bool:
    """Whether the broker refused for lack of a right; only an administrator can change that."""
    return isinstance(error, tuple(DENIED))


def explain(error: BaseException, bootstrap: Bootstrap) -> str:
    """A sentence for health and logs, without secrets."""
    security = brokers_of(bootstrap).security
    if isinstance(error, ModelyardError):
        return str(error)
    if isinstance(error, SaslAuthenticationFailed | UnsupportedSaslMechanismError):
        return _sign_in(error, security)
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    for kind, noun in DENIED.items():
        if isinstance(error, kind):
            names = ", ".join(map(str, _names(error)))
            return f"{security.who} lacks a right on the {noun} {names}".rstrip() + f"; {GRANT}"
    if _closed(error):
        return (
            f"the broker closes the connection; it may need another KAFKA_SECURITY_PROTOCOL than {security.protocol}, "
            "such as SASL_SSL, or a client certificate (KAFKA_SSL_CERTIFICATE_FILE)"
        )
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _sign_in(error: KafkaError, security: Security) -> str:
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"the broker does not offer {security.mechanism} here; correct KAFKA_SASL_MECHANISM"
    if security.token_file is not None:
        return f"the broker refuses the token in {security.token_file}; renew it (KAFKA_SASL_TOKEN_FILE)"
    settings = "KAFKA_SASL_USERNAME and " + (
        "KAFKA_SASL_PASSWORD_FILE" if security.password_file else "KAFKA_SASL_PASSWORD"
    )
    return f"the broker refuses {security.who} or the password ({security.mechanism}); correct {settings}"


def _tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker's certificate is not accepted ({error.verify_message}); name its certificate authority in "
            "KAFKA_SSL_CA_FILE, and a host name of the certificate in KAFKA_BOOTSTRAP_SERVERS"
        )
    reason = getattr(error, "reason", None) or "no reason given"
    if "CERTIFICATE" in reason:
        return f"the broker refuses the client certificate ({reason}); correct KAFKA_SSL_CERTIFICATE_FILE"
    return f"no TLS on this port ({reason}); correct KAFKA_SECURITY_PROTOCOL or the port"


def _names(error: BaseException) -> list[object]:
    """Resources that the error names: a name, or a set of names."""
    given = error.args[0] if error.args else ()
    return sorted(given) if isinstance(given, set | frozenset | list | tuple) else [given]


def _closed(error: BaseException) -> bool:
    return isinstance(error, EOFError) or (isinstance(error, KafkaConnectionError) and "closed" in str(error).lower())
