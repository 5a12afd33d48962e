"""Which Kafka, and how to sign in: one frozen value for every consumer, producer and admin client.

Files are read whenever a client is built, so the next connection after a rotation uses the new secret.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pydantic import SecretStr

from modelyard_runtime.errors import BrokerAway, StartupError

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
MECHANISMS: Final[tuple[str, ...]] = get_args(Mechanism)


@dataclass(frozen=True, kw_only=True)
class Security:
    """How to connect. Invalid combinations are refused by `check`; the default is an open, local broker."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    token_file: Path | None = None
    """Holds the bearer token of OAUTHBEARER."""
    ca_file: Path | None = None
    """Certificate authorities (PEM) that the broker's certificate is checked against; None: those of the system."""
    certificate_file: Path | None = None
    key_file: Path | None = None
    check_hostname: bool = True

    @property
    def sasl(self) -> bool:
        return self.protocol.startswith("SASL_")

    @property
    def tls(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def who(self) -> str:
        """The identity for messages, such as `user 'router'`."""
        if self.username is not None:
            return f"user {self.username!r}"
        return "the token" if self.token_file else "the client certificate" if self.certificate_file else "this client"

    def check(self) -> None:
        """StartupError names the setting that is missing, contradicts another one, or names an unusable file."""
        for problem in (*self._sasl_problems(), *self._tls_problems()):
            raise StartupError(problem)
        try:
            self.client_settings()
        except BrokerAway as error:
            raise StartupError(str(error)) from error

    def _sasl_problems(self) -> list[str]:
        given = {
            "KAFKA_SASL_MECHANISM": self.mechanism,
            "KAFKA_SASL_USERNAME": self.username,
            "KAFKA_SASL_PASSWORD": self.password,
            "KAFKA_SASL_PASSWORD_FILE": self.password_file,
            "KAFKA_SASL_TOKEN_FILE": self.token_file,
        }
        if not self.sasl:
            protocol = "SASL_SSL" if self.tls else "SASL_SSL or SASL_PLAINTEXT"
            return _unused(given, f"KAFKA_SECURITY_PROTOCOL={self.protocol}", f"use {protocol}")
        if self.mechanism is None:
            return [f"KAFKA_SASL_MECHANISM: required with {self.protocol}; set one of {', '.join(MECHANISMS)}"]
        names = ("USERNAME", "PASSWORD", "PASSWORD_FILE") if self.mechanism == "OAUTHBEARER" else ("TOKEN_FILE",)
        foreign = {name: given[name] for name in (f"KAFKA_SASL_{each}" for each in names)}
        return _unused(foreign, f"KAFKA_SASL_MECHANISM={self.mechanism}", "correct the mechanism") + self._missing()

    def _missing(self) -> list[str]:
        """Settings that the mechanism needs."""
        if self.mechanism == "OAUTHBEARER":
            needed = "KAFKA_SASL_TOKEN_FILE: required with OAUTHBEARER; name a file that holds the bearer token"
            return [] if self.token_file else [needed]
        if not self.username:
            return [f"KAFKA_SASL_USERNAME: required with {self.mechanism}; set the name that the broker knows"]
        if self.password and self.password_file:
            return ["KAFKA_SASL_PASSWORD: contradicts KAFKA_SASL_PASSWORD_FILE; keep one of them"]
        if not (self.password or self.password_file):
            return [f"KAFKA_SASL_PASSWORD_FILE: required with {self.mechanism}; name a file that holds the password"]
        return []

    def _tls_problems(self) -> list[str]:
        given = {
            "KAFKA_SSL_CA_FILE": self.ca_file,
            "KAFKA_SSL_CERTIFICATE_FILE": self.certificate_file,
            "KAFKA_SSL_KEY_FILE": self.key_file,
            "KAFKA_SSL_CHECK_HOSTNAME": None if self.check_hostname else False,
        }
        if not self.tls:
            protocol = "SASL_SSL" if self.sasl else "SSL or SASL_SSL"
            return _unused(given, f"KAFKA_SECURITY_PROTOCOL={self.protocol}", f"use {protocol}")
        if self.key_file and not self.certificate_file:
            return ["KAFKA_SSL_CERTIFICATE_FILE: required with KAFKA_SSL_KEY_FILE; name the certificate of that key"]
        return []

    def client_settings(self) -> dict[str, Any]:
        """Arguments of an aiokafka client; BrokerAway names a file that cannot be used."""
        settings: dict[str, Any] = {"security_protocol": self.protocol}
        if self.tls:
            settings["ssl_context"] = self.tls_context()
        if not self.sasl:
            return settings
        settings["sasl_mechanism"] = self.mechanism
        if self.token_file is not None:
            _read(self.token_file, "KAFKA_SASL_TOKEN_FILE", "the bearer token")
            return {**settings, "sasl_oauth_token_provider": token_provider(self.token_file)}
        return {**settings, "sasl_plain_username": self.username, "sasl_plain_password": self.secret()}

    def secret(self) -> str:
        """The password as it is now."""
        if self.password_file is not None:
            return _read(self.password_file, "KAFKA_SASL_PASSWORD_FILE", "the password")
        return self.password.get_secret_value() if self.password else ""

    def tls_context(self) -> ssl.SSLContext:
        """Verifies the broker, and presents the client certificate where there is one."""
        context = _authorities(self.ca_file)
        context.check_hostname = self.check_hostname
        if self.certificate_file is not None:
            try:
                context.load_cert_chain(self.certificate_file, self.key_file, password=_no_password)
            except (OSError, ssl.SSLError, ValueError) as error:
                files = f"{self.certificate_file} with the key in {self.key_file or 'the same file'}"
                raise BrokerAway(
                    f"KAFKA_SSL_CERTIFICATE_FILE: cannot use {files} ({_why(error)}); "
                    "give a certificate and its key in PEM, the key without a password"
                ) from error
        return context


def token_provider(path: Path) -> Any:
    """A token provider of aiokafka: the file is read for each connection, as tokens expire."""
    from aiokafka.abc import AbstractTokenProvider  # here, so that reading settings does not load aiokafka

    class TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types
        async def token(self) -> str:
            return _read(path, "KAFKA_SASL_TOKEN_FILE", "the bearer token")

    return TokenFile()


@dataclass(frozen=True)
class Brokers:
    """Addresses of a Kafka cluster, and how to sign in there. As text: the addresses."""

    bootstrap: str
    security: Security = field(default_factory=Security)

    def __str__(self) -> str:
        return self.bootstrap


Bootstrap = str | Brokers
"""host:port,... of an open broker, or Brokers."""


def brokers_of(bootstrap: Bootstrap) -> Brokers:
    """Brokers as they are; addresses alone are those of an open broker."""
    return bootstrap if isinstance(bootstrap, Brokers) else Brokers(bootstrap)


def client_settings(bootstrap: Bootstrap) -> dict[str, Any]:
    """Arguments that every aiokafka client takes: addresses and credentials. BrokerAway: a file cannot be used."""
    brokers = brokers_of(bootstrap)
    return {"bootstrap_servers": brokers.bootstrap, **brokers.security.client_settings()}


def _unused(given: Mapping[str, object], by: str, remedy: str) -> list[str]:
    """Settings that would be ignored: the platform must not run with less protection than its settings promise."""
    return [f"{name}: not used with {by}; {remedy}, or unset it" for name, value in given.items() if value is not None]


def _authorities(path: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if path is None else str(path))
    except (OSError, ssl.SSLError) as error:
        raise BrokerAway(f"KAFKA_SSL_CA_FILE: cannot use {path} ({_why(error)}); give certificates in PEM") from error


def _read(path: Path, variable: str, content: str) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerAway(f"{variable}: cannot read {path} ({_why(error)}); write {content} into it") from error
    if not text:
        raise BrokerAway(f"{variable}: {path} is empty; write {content} into it")
    return text


def _no_password() -> str:
    """Called for an encrypted key; without it OpenSSL would ask on the terminal."""
    raise ValueError("the key has a password")


def _why(error: Exception) -> str:
    """The reason alone: an SSLError that is no OSError of the file system has a text, no `strerror` worth having."""
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM"
    return getattr(error, "strerror", None) or str(error)
