"""Base of the results: frozen; fields of a newer release are kept, so `model_dump` returns what the service sent."""

from pydantic import BaseModel, ConfigDict


class Result(BaseModel):
    """Base of the answers."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True, protected_namespaces=())
