"""Settings of the connection to Kafka, equal in every service and in the command line."""

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from modelyard_runtime.brokers import Brokers, Mechanism, Protocol, Security

OPTIONAL = ("mechanism", "username", "password", "password_file", "token_file")
FILES = ("ca_file", "certificate_file", "key_file")


class KafkaSettings(BaseSettings):
    """Mixin: where Kafka is and how to sign in. `brokers` is the value that clients take."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", alias="KAFKA_BOOTSTRAP_SERVERS", min_length=1)
    """host:port of the brokers, separated by commas."""
    kafka_security_protocol: Protocol = Field("PLAINTEXT", alias="KAFKA_SECURITY_PROTOCOL")
    kafka_sasl_mechanism: Mechanism | None = Field(None, alias="KAFKA_SASL_MECHANISM")
    kafka_sasl_username: str | None = Field(None, alias="KAFKA_SASL_USERNAME")
    kafka_sasl_password: SecretStr | None = Field(None, alias="KAFKA_SASL_PASSWORD")
    """Prefer the file: other programs of the same user can read environment variables."""
    kafka_sasl_password_file: Path | None = Field(None, alias="KAFKA_SASL_PASSWORD_FILE")
    kafka_sasl_token_file: Path | None = Field(None, alias="KAFKA_SASL_TOKEN_FILE")
    """Bearer token of OAUTHBEARER, read for each connection."""
    kafka_ssl_ca_file: Path | None = Field(None, alias="KAFKA_SSL_CA_FILE")
    """Certificate authorities (PEM) of the brokers; without it, those of the system."""
    kafka_ssl_certificate_file: Path | None = Field(None, alias="KAFKA_SSL_CERTIFICATE_FILE")
    """Client certificate (PEM), for brokers that ask for one."""
    kafka_ssl_key_file: Path | None = Field(None, alias="KAFKA_SSL_KEY_FILE")
    """Key of the client certificate (PEM); may be in the certificate's file."""
    kafka_ssl_check_hostname: bool = Field(True, alias="KAFKA_SSL_CHECK_HOSTNAME")

    @field_validator(
        *(f"kafka_sasl_{name}" for name in OPTIONAL), *(f"kafka_ssl_{name}" for name in FILES), mode="before"
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        """Compose files and shells pass an unset variable on as an empty one."""
        return None if value == "" else value

    @property
    def brokers(self) -> Brokers:
        """Addresses and credentials; StartupError names a setting that is missing, contradictory or unusable."""
        security = Security(
            protocol=self.kafka_security_protocol,
            check_hostname=self.kafka_ssl_check_hostname,
            **{name: getattr(self, f"kafka_sasl_{name}") for name in OPTIONAL},
            **{name: getattr(self, f"kafka_ssl_{name}") for name in FILES},
        )
        security.check()
        return Brokers(self.kafka_bootstrap_servers, security)
