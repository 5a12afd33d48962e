"""Two versions compared, and versions that resemble one another: answers of the registry."""

from typing import Literal

from modelyard_contracts.messages.base import Part
from modelyard_contracts.numbers import Count, Finite, Share

Change = Literal["added", "removed", "changed"]


class VersionName(Part):
    """One version of a model."""

    model: str
    version: int
    digest: str
    semver: str | None = None


class FileChange(Part):
    path: str
    change: Change
    bytes_before: Count | None = None
    bytes_after: Count | None = None


class ValueChange(Part):
    """A named value; None on the side that has none."""

    name: str
    before: str | Finite | None = None
    after: str | Finite | None = None


class ColumnChange(Part):
    """A column of the signature. `before`, `after`: its type and further properties, in words."""

    name: str
    change: Change
    before: str | None = None
    after: str | None = None


class TensorGroup(Part):
    """Tensors that differ and whose names begin alike."""

    prefix: str
    """Such as `classifier.*`; a whole name when there is one tensor."""
    added: Count = 0
    removed: Count = 0
    changed: Count = 0
    size_bytes: Count = 0
    """Of the newer tensors, or of the older ones when they were removed."""


class TensorComparison(Part):
    """Tensors of two versions, by digest of type, shape and values."""

    identical_share: Share
    """Bytes of identical tensors over the bytes of all tensors of the larger version."""
    identical: Count
    differing: tuple[TensorGroup, ...] = ()
    """Largest first."""
    complete: bool = True
    """False when one of them has more tensors than the registry stores; the smallest are then left out."""


class VersionDiff(Part):
    """Everything that differs between two versions. `before` is the older side of every change."""

    before: VersionName
    after: VersionName
    files: tuple[FileChange, ...] = ()
    identical_files: Count = 0
    tensors: TensorComparison | None = None
    """None when the tensors of one of them are not known."""
    card: tuple[str, ...] = ()
    """Lines of a unified diff of the prose of the cards; empty when it is equal."""
    metrics: tuple[ValueChange, ...] = ()
    data: tuple[ValueChange, ...] = ()
    """Training data: digest, range of time and description."""
    columns: tuple[ColumnChange, ...] = ()
    output: tuple[ValueChange, ...] = ()
    classes_added: tuple[str, ...] = ()
    classes_removed: tuple[str, ...] = ()
    environment: tuple[ValueChange, ...] = ()
    options: tuple[ValueChange, ...] = ()
    parameters: tuple[ValueChange, ...] = ()
    """Of the training run, flavour and task included."""


class Resemblance(Part):
    """A version that has files or tensors of another one."""

    model: str
    version: int
    digest: str
    identical: bool
    """Every file is the same, byte for byte, under the same path."""
    shared_files: Count = 0
    shared_file_bytes: Count = 0
    tensors: TensorComparison | None = None
    """None when neither has tensors that the registry can read."""

    @property
    def sentence(self) -> str:
        """The resemblance in words, such as `identical to churn@3`."""
        name = f"{self.model}@{self.version}"
        if self.identical:
            return f"identical to {name}"
        if self.tensors is not None and self.tensors.identical:
            share = f"{_percent(self.tensors.identical_share)} of the tensor bytes of {name}"
            groups = ", ".join(group.prefix for group in self.tensors.differing[:3])
            return f"{share}, differs in {groups}" if groups else share
        return f"{self.shared_files} files of {name}"


def _percent(share: float) -> str:
    """A share in per cent; 100 % only when nothing differs."""
    return "more than 99%" if 0.99 < share < 1 else f"{share:.0%}"
