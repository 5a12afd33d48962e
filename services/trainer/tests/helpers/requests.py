"""The request of a run, as the service writes it for the worker."""

from typing import Any

from modelyard_contracts.signature import Signature, new_schema_id
from modelyard_trainer.domain.data import DataSpec


def request(signature: Signature | None = None, **changes: Any) -> dict[str, Any]:
    fields = {
        "run_id": "r-1",
        "model": "shifts",
        "recipe": "fake",
        "recipes": {},
        "parameters": {},
        "holdout_rows": 50,
        "learn_holdout": False,
        "window_rows": 400,
        "as_of": "2026-03-01T00:00:00+00:00",
        "given_dataset": None,
        "data": DataSpec().model_dump(mode="json"),
        "signature": None if signature is None else signature.model_dump(mode="json"),
        "signature_id": None if signature is None else new_schema_id(signature),
        "older_time": "occurred_at",
        "older_until": None,
        "clickhouse": {},
        "ray_cpus": 2,
    }
    return {**fields, **changes}
