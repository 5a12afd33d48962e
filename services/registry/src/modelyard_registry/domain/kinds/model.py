"""Models: files, a signature, an evaluation before the gate."""

import json
from collections.abc import Mapping, Sequence

from modelyard_contracts.documents import canonical_json, digest_of
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.messages.base import Part
from modelyard_contracts.policies import POLICIES, GatePolicy
from modelyard_registry.domain.files import check_files
from modelyard_registry.domain.kinds.base import Content, ManifestSource, check_document, read_document, title
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.values import Version
from modelyard_runtime.errors import Invalid


def _signature_digest(data: bytes) -> str:
    """Digest of the signature as it was written; the parsed one changes when a release adds a field."""
    return digest_of(canonical_json(json.loads(data)["signature"]))


class ModelKind:
    """The evaluator's verdict leads to the gate, so registration moves nothing by itself."""

    policies: Mapping[str, type[Part]] = POLICIES

    def validate(self, manifest: ManifestSource) -> Content:
        data, document = check_document(ModelManifest, manifest)
        return Content(
            data=data,
            reference=document.model,
            files=document.files,
            flavour=document.flavour,
            task=document.task.value,
            feature_schema_id=document.feature_schema_id,
            signature_digest=_signature_digest(data),
            run_id=document.training.run_id,
            metrics=dict(document.training.metrics),
        )

    def admit(self, content: Content) -> None:
        check_files(content.files)
        if "\x00" in content.flavour or "\x00" in (content.run_id or ""):
            raise Invalid("manifest: flavour and run_id may not hold the character NUL", field="manifest")

    def gate(self, policy: GatePolicy) -> Sequence[Signal]:
        return ()

    def card(self, reference: str, version: Version) -> str:
        document = read_document(ModelManifest, version.manifest)
        columns = ", ".join(f"{column.name} ({column.type})" for column in document.signature.columns[:20])
        metrics = [f"- {name}: {value:.4g}" for name, value in sorted(document.training.metrics.items())]
        lines = [title(reference, version), f"- task: {document.task}", f"- flavour: {document.flavour}"]
        lines += [f"- recipe: {document.training.recipe}", "", "## Input", "", columns]
        return "\n".join([*lines, "", "## Metrics of training", "", *(metrics or ["none"]), ""])
