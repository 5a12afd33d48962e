"""The protocol's metadata of a model."""

from typing import Any

from modelyard_contracts.inference import InferenceCodec
from modelyard_contracts.inference.answer import describe_outputs
from modelyard_serving.loading import LoadedModel


def describe(model: LoadedModel) -> dict[str, Any]:
    """Inputs, outputs and identity. compact_inputs: names of the two tensors that hold all columns."""
    codec = InferenceCodec(model.signature)
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": f"modelyard_{model.manifest.flavour}",
        "inputs": codec.describe_inputs(),
        "outputs": describe_outputs(model.signature),
        "parameters": {
            "digest": model.digest,
            "signature_id": model.manifest.feature_schema_id,
            "task": model.signature.task.value,
            "classes": list(model.signature.classes),
            "compact_inputs": [codec.numeric_tensor, codec.text_tensor],
        },
    }
