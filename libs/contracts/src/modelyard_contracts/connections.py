"""Connections to providers of models: where an API is called, what it costs, and how much of it may be used.

A connection has no versions: prices and limits change while the versions that use it stay. Its key is the *name* of an
environment variable of the process that calls the provider; the value is never part of the document.
"""

import re
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field, model_validator

from modelyard_contracts.documents import Document
from modelyard_contracts.manifest import Price
from modelyard_contracts.messages.base import Part
from modelyard_contracts.numbers import Count, TimeoutMs
from modelyard_contracts.sentences import describe_form

CONNECTION: Final = "connection"
"""Kind of the resource; and the option of a manifest that names one."""
PROVIDER_MODEL: Final = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"
CURRENCY: Final = describe_form(r"^[A-Z]{3}$", "a currency by its code, such as USD or EUR")
TOKENS_PER_PRICE: Final = 1_000_000
MAX_MODELS: Final = 1_000
_ADDRESS: Final = re.compile(r"(?P<scheme>https?)://[A-Za-z0-9.-]+(:(?P<port>\d{1,5}))?(/[A-Za-z0-9._~/-]*)?")
Money = Annotated[float, Field(ge=0, le=1_000_000_000, allow_inf_nan=False)]
Limit = Annotated[Count, Field(gt=0)]


def _address(text: str) -> str:
    """Refuse what is no plain address. The text is not repeated: it may hold a password."""
    if "@" in text:
        raise ValueError("holds a user or a password; put the key into the environment variable that `secret` names")
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(
            "write an address that begins with https://, without query, such as https://api.example.com/v1"
        )
    if found["port"] and not 0 < int(found["port"]) < 65_536:
        raise ValueError("the port is a number from 1 to 65535")
    return text


class ModelTerms(Part):
    """One model of a provider: its context and its prices, in the currency of the connection."""

    context_tokens: Limit | None = None
    """Most tokens of one request and its answer together; None: not known."""
    input_per_million_tokens: Money = 0.0
    output_per_million_tokens: Money = 0.0
    per_call: Money = 0.0


class RateLimits(Part):
    """How much of the provider may be used through one connection; None does not limit."""

    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    concurrent_requests: Limit | None = None
    timeout_ms: TimeoutMs = 60_000


class Connection(Document):
    """A provider, as it is called. `models`: id at the provider to its terms."""

    DOCUMENT: ClassVar[str] = "connection"

    endpoint: Annotated[str, Field(max_length=1_000), AfterValidator(_address)]
    allow_http: bool = False
    """Allow an endpoint without TLS, such as a server in the same network."""
    secret: str = Field(default="", pattern=r"^([A-Z][A-Z0-9_]{0,127})?$")
    """Name of the environment variable with the provider's key; empty: none is needed."""
    currency: str = Field(default="USD", pattern=CURRENCY)
    models: dict[Annotated[str, Field(pattern=PROVIDER_MODEL, max_length=200)], ModelTerms] = Field(
        default_factory=dict, max_length=MAX_MODELS
    )
    limits: RateLimits = RateLimits()

    @model_validator(mode="after")
    def _is_encrypted(self) -> "Connection":
        if self.endpoint.startswith("http://") and not self.allow_http:
            raise ValueError("endpoint: is not encrypted; write https://, or set allow_http to true")
        return self

    def price_of(self, model: str) -> Price | None:
        """Price of a model in US dollars per 1,000 tokens, as manifests state it; None in other currencies."""
        terms = self.models.get(model)
        if terms is None or self.currency != "USD":
            return None
        thousand = 1_000 / TOKENS_PER_PRICE
        return Price(
            usd_per_call=terms.per_call,
            usd_per_1k_input_tokens=terms.input_per_million_tokens * thousand,
            usd_per_1k_output_tokens=terms.output_per_million_tokens * thousand,
        )


class ConnectionAccess(Part):
    """A connection as the process that calls the provider gets it: the only document with the value of a key.

    It is written to a file that only this process reads, and never sent, stored elsewhere or logged.
    """

    name: str
    """Reference of the connection, for errors."""
    revision: Count = 0
    connection: Connection | None = None
    """None: it was deleted."""
    key: str = Field(default="", repr=False)
    """Value of the secret; empty if none is needed or `problem` says why there is none."""
    problem: str = ""
    """Why the provider cannot be called."""


describe_form(
    r"^([A-Z][A-Z0-9_]{0,127})?$", "the NAME of an environment variable such as PROVIDER_API_KEY, never the key itself"
)
__all__ = ["CONNECTION", "TOKENS_PER_PRICE", "Connection", "ConnectionAccess", "ModelTerms", "RateLimits"]
