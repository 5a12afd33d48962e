"""Where the files of a model were downloaded from."""

from dataclasses import dataclass

from modelyard_contracts.manifest import SourceKind


@dataclass(frozen=True)
class Origin:
    """A repository of a model hub at one commit, or a version of another registry, as it is described there."""

    uri: str
    revision: str
    license: str = ""
    base_model: str = ""
    gated: bool = False
    """Whether its owner asks for an agreement before a download."""
    kind: SourceKind = "hub"
