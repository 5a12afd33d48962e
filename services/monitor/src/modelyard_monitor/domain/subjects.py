"""Subjects of detection: each feature, the score or value, and the distribution of predicted classes."""

from collections.abc import Iterator, Mapping
from typing import Final

from modelyard_contracts import DriftKind, FeatureSlice, SliceSummarised
from modelyard_contracts.manifest import FeatureReference, ReferenceProfile

Subject = tuple[DriftKind, str]
"""(kind, name): a feature by its name, or one of the outputs below. No feature name is reserved."""

SCORE: Final[Subject] = (DriftKind.SCORE, "score")
CLASSES: Final[Subject] = (DriftKind.CLASSES, "classes")
OUTPUTS: Final = (SCORE, CLASSES)


def feature(name: str) -> Subject:
    """Return the subject of an input column."""
    return (DriftKind.FEATURE, name)


def subjects_of(piece: SliceSummarised) -> Iterator[tuple[Subject, FeatureSlice]]:
    """Yield every subject of a slice of predictions, with its counts and moments."""
    for part in piece.features:
        yield feature(part.name), part
    if piece.score is not None:
        yield SCORE, piece.score
    if piece.classes is not None:
        yield CLASSES, piece.classes


def references_of(profile: ReferenceProfile | None) -> Mapping[Subject, FeatureReference]:
    """Return the reference of every subject that has one."""
    if profile is None:
        return {}
    found = {feature(one.name): one for one in profile.features}
    outputs = {SCORE: profile.score, CLASSES: profile.classes}
    return found | {subject: one for subject, one in outputs.items() if one is not None}
