"""The request that a replica must answer before it gets traffic."""

import json
from typing import Final, NamedTuple

from modelyard_contracts.inference import InferenceCodec
from modelyard_contracts.manifest import FeatureReference, ModelManifest
from modelyard_contracts.signature import Column, ColumnType, Task

TEXT: Final = "warm up"


class WarmUp(NamedTuple):
    """Action of the Open Inference Protocol and the body of its request."""

    action: str
    body: bytes


def warm_up_request(manifest: ModelManifest) -> WarmUp:
    """Build a request of one valid row: middle bin edges and first categories of the reference profile, else zeros."""
    signature = manifest.signature
    if signature.task is Task.TEXT:
        return WarmUp("generate", json.dumps({"text_input": TEXT, "parameters": {"max_tokens": 1}}).encode())
    reference = {feature.name: feature for feature in manifest.reference.features} if manifest.reference else {}
    columns = {column.name: column for column in signature.columns}
    numbers = [_number(columns[name], reference.get(name)) for name in signature.numeric]
    texts = [_text(columns[name], reference.get(name)) for name in signature.categorical]
    return WarmUp("infer", InferenceCodec(signature).encode_row(numbers, texts))


def _number(column: Column, reference: FeatureReference | None) -> float:
    """A whole number for integers, 0 or 1 for booleans."""
    edges = reference.edges if reference else ()
    middle = edges[len(edges) // 2] if edges else 0.0
    if column.type is ColumnType.BOOLEAN:
        return 1.0 if middle > 0.5 else 0.0
    return float(round(middle)) if column.type is ColumnType.INTEGER else middle


def _text(column: Column, reference: FeatureReference | None) -> str:
    if column.type is ColumnType.TEXT:
        return TEXT[: column.max_length]
    categories = reference.categories if reference else ()
    return next(iter(categories), "")[: column.max_length]
