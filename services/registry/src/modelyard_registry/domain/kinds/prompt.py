"""Prompts: a template in the manifest itself; people approve it unless the gate is automatic."""

from collections.abc import Mapping, Sequence

from modelyard_contracts.messages.base import Part
from modelyard_contracts.policies import GatePolicy
from modelyard_contracts.prompts import PromptManifest
from modelyard_registry.domain.kinds.base import Content, ManifestSource, check_document, read_document, title
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.values import Version


class PromptKind:
    """A prompt has no files."""

    policies: Mapping[str, type[Part]] = {"gate": GatePolicy}
    scanned = False

    def validate(self, manifest: ManifestSource) -> Content:
        data, document = check_document(PromptManifest, manifest)
        return Content(data=data, reference=document.prompt, files=(), flavour="template")

    def admit(self, content: Content) -> None:
        """The document's own rules are enough."""

    def gate(self, policy: GatePolicy) -> Sequence[Signal]:
        return (Signal.PASSED, Signal.APPROVED) if policy.approval == "automatic" else (Signal.PASSED,)

    def card(self, reference: str, version: Version) -> str:
        """Describe a version for people, as Markdown."""
        document = read_document(PromptManifest, version.manifest)
        variables = ", ".join(document.variables) or "none"
        lines = [title(reference, version), f"- variables: {variables}", "", document.description]
        return "\n".join([*lines, "", "```", document.template, "```", ""])
