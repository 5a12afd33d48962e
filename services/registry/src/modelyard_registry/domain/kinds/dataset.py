"""Datasets: files with rows and columns; nothing to evaluate."""

from collections.abc import Mapping, Sequence
from typing import Final

from modelyard_contracts.datasets import DatasetManifest
from modelyard_contracts.messages.base import Part
from modelyard_contracts.policies import GatePolicy
from modelyard_registry.domain.files import check_files
from modelyard_registry.domain.kinds.base import Content, ManifestSource, check_document, read_document, title
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.values import Version

NO_EVIDENCE: Final = (Signal.PASSED,)


class DatasetKind:
    """A registered dataset needs no evidence; an automatic gate approves it at once."""

    policies: Mapping[str, type[Part]] = {"gate": GatePolicy}
    scanned = False

    def validate(self, manifest: ManifestSource) -> Content:
        data, document = check_document(DatasetManifest, manifest)
        return Content(data=data, reference=document.dataset, files=document.files, flavour=document.format)

    def admit(self, content: Content) -> None:
        check_files(content.files)

    def gate(self, policy: GatePolicy) -> Sequence[Signal]:
        return (*NO_EVIDENCE, Signal.APPROVED) if policy.approval == "automatic" else NO_EVIDENCE

    def card(self, reference: str, version: Version) -> str:
        """Describe a version for people, as Markdown."""
        document = read_document(DatasetManifest, version.manifest)
        size = sum(entry.size_bytes for entry in document.files)
        lines = [
            title(reference, version),
            f"- rows: {document.rows:,}",
            f"- size: {size:,} bytes",
            "",
            "## Columns",
            "",
        ]
        return "\n".join([*lines, *(f"- {name}: {type_}" for name, type_ in document.columns.items()), ""])
