"""Models: files, a signature, an evaluation before the gate."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from modelyard_contracts.documents import canonical_json, digest_of
from modelyard_contracts.external import CONTAINER, EXTERNAL_API, connection_of
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.messages.base import Part
from modelyard_contracts.policies import POLICIES, GatePolicy
from modelyard_registry.domain.files import check_files
from modelyard_registry.domain.kinds.base import Content, ManifestSource, check_document
from modelyard_registry.domain.lineage import links_of
from modelyard_registry.domain.stages import Signal
from modelyard_runtime.errors import Invalid

ASKED: Final = (
    (CONTAINER, "code", "a container image is code that is not scanned here"),
    (EXTERNAL_API, "network", "a model behind an API is called over the network"),
)
"""Permissions without which a version of a flavour is not registered."""


def _signature_digest(data: bytes) -> str:
    """Digest of the signature as it was written; the parsed one changes when a release adds a field."""
    return digest_of(canonical_json(json.loads(data)["signature"]))


class ModelKind:
    """The evaluator's verdict leads to the gate, so registration moves nothing by itself."""

    policies: Mapping[str, type[Part]] = POLICIES
    scanned = True

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
            source=document.source,
            permissions=document.permissions,
            links=links_of(document),
            connection=connection_of(document),
        )

    def admit(self, content: Content) -> None:
        check_files(content.files)
        if "\x00" in content.flavour or "\x00" in (content.run_id or ""):
            raise Invalid("manifest: flavour and run_id may not hold the character NUL", field="manifest")
        for flavour, permission, why in ASKED:
            if content.flavour == flavour and not getattr(content.permissions, permission):
                field = f"manifest.permissions.{permission}"
                raise Invalid(f"{field}: {why}; ask for this permission, with a reason", field=field)

    def gate(self, policy: GatePolicy) -> Sequence[Signal]:
        return ()
