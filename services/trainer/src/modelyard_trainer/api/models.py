"""Request models of the API."""

from uuid import UUID

from pydantic import Field

from modelyard_contracts import Part


class StartRun(Part):
    """The body of POST /v1/runs."""

    model: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$")
    recipe: str | None = None
    """None: the recipe of the model's retraining policy."""
    dataset_digest: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    """None: a snapshot of recent labelled predictions."""
    parameters: dict[str, str] = Field(default_factory=dict)
    reason: str = Field(default="requested by API", max_length=2_000)
    correlation_id: UUID | None = None
    idempotency_key: str | None = Field(default=None, max_length=200)
