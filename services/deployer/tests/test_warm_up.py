"""The request that a replica must answer before it gets traffic."""

import json

from modelyard_contracts.inference import InferenceCodec, decode_request
from modelyard_contracts.manifest import FeatureReference, FileEntry, ModelManifest, ReferenceProfile, TrainingLineage
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_deployer.workloads.warm_up import warm_up_request


def a_manifest(signature: Signature, *features: FeatureReference) -> ModelManifest:
    return ModelManifest(
        model="ages",
        flavour="sklearn",
        files=(FileEntry(path="m", digest="sha256:" + "0" * 64, size_bytes=1),),
        signature=signature,
        feature_schema_id="fs-1",
        task=signature.task,
        training=TrainingLineage(recipe="test"),
        reference=ReferenceProfile(rows=4, features=features) if features else None,
    )


COLUMNS = tuple(Column(name=f"{kind}", type=kind, nullable=False) for kind in ColumnType)
SIGNATURE = Signature(columns=COLUMNS, output=Output(task=Task.REGRESSION))


def test_the_row_keeps_to_a_signature_with_every_type_of_column() -> None:
    action, body = warm_up_request(a_manifest(SIGNATURE))
    rows = InferenceCodec(SIGNATURE).rows(decode_request(body, max_rows=1))
    assert (action, rows.size) == ("infer", 1)
    assert rows.numeric == [0.0, 0.0, 0.0, 0.0]
    assert rows.texts == ["", "warm up"]


def test_values_come_from_the_middle_of_the_reference() -> None:
    features = (
        FeatureReference(name="number", edges=(20.0, 30.5, 40.0), counts=(0, 0, 0, 1, 1, 1, 1)),
        FeatureReference(name="integer", edges=(1.0, 2.6, 3.0), counts=(0, 0, 0, 1, 1, 1, 1)),
        FeatureReference(name="boolean", edges=(0.6,), counts=(0, 0, 0, 1, 3)),
        FeatureReference(name="category", categories=("blue", "red"), counts=(0, 0, 0, 2, 2)),
        FeatureReference(name="text", edges=(3.0,), counts=(0, 0, 0, 2, 2)),
    )
    body = warm_up_request(a_manifest(SIGNATURE, *features)).body
    rows = InferenceCodec(SIGNATURE).rows(decode_request(body, max_rows=1))
    assert rows.numeric == [30.5, 3.0, 1.0, 0.0]
    assert rows.texts == ["blue", "warm up"]


def test_a_version_that_answers_text_is_asked_for_one_token() -> None:
    text = Column(name="text", type=ColumnType.TEXT)
    signature = Signature(input="text", columns=(text,), output=Output(task=Task.TEXT))
    action, body = warm_up_request(a_manifest(signature))
    assert (action, json.loads(body)) == ("generate", {"text_input": "warm up", "parameters": {"max_tokens": 1}})
