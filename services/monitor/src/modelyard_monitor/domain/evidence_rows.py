"""Parts of evidence SQL: which rows were counted, and the expression of the counted value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from modelyard_contracts import DriftKind, OffsetRange, SliceSummarised
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.signature import ColumnType, Signature

LATE_SUFFIX: Final = "#late"
"""Ends the topic of slices of late joins; their offsets are numbers of rounds."""


@dataclass(frozen=True)
class Source:
    """Where the values of a subject are in table predictions."""

    value: str
    """Expression of the value; NULL is missing."""
    counted: str
    """Condition of the answered rows that are counted."""
    numeric: bool = True

    @classmethod
    def of(cls, kind: DriftKind, name: str, manifest: ModelManifest | None) -> Self | None:
        """Return the source of a subject; None when the manifest does not name it."""
        if kind is DriftKind.SCORE:
            return cls(_own("score"), f"{_own('score')} IS NOT NULL")
        if kind is DriftKind.CLASSES:
            return cls(_own("class"), f"{_own('class')} IS NOT NULL", numeric=False)
        return cls._of_feature(name, manifest.signature) if manifest else None

    @classmethod
    def _of_feature(cls, name: str, signature: Signature) -> Self | None:
        numeric, categorical = signature.numeric, signature.categorical
        if name in numeric:
            return cls(
                _number(name, numeric),
                f"(length(num_features) = {len(numeric)} OR notEmpty(mapKeys(features_by_name)))",
            )
        if name not in categorical:
            return None
        value = f"cat_features[{categorical.index(name) + 1}]"
        counted = f"length(cat_features) = {len(categorical)}"
        if _type_of(name, signature) is ColumnType.TEXT:
            return cls(f"toFloat64(lengthUTF8({value}))", counted)
        return cls(value, counted, numeric=False)


def _own(output: str) -> str:
    """Expression of the version's own output: of an ensemble, the vote of the version that leads it."""
    return f"if(notEmpty(votes), tupleElement(votes[1], '{output}'), {output})"


def _number(name: str, names: Sequence[str]) -> str:
    key = quoted(name)
    by_name = f"if(mapContains(features_by_name, {key}), features_by_name[{key}], NULL)"
    return f"if(length(num_features) = {len(names)}, num_features[{names.index(name) + 1}], {by_name})"


def _type_of(name: str, signature: Signature) -> ColumnType:
    return next(column.type for column in signature.columns if column.name == name)


def usable_row(signature: Signature) -> str:
    """Return the condition of predictions with the signature's number of features, with named or sampled-out ones."""
    lengths = f"length(num_features) = {len(signature.numeric)} AND length(cat_features) = {len(signature.categorical)}"
    return f"(sampled = 0 OR notEmpty(mapKeys(features_by_name)) OR ({lengths}))"


def served_by(piece: SliceSummarised) -> str:
    """Return the condition of rows of the slice's version and variant."""
    return (
        f"model = {quoted(piece.model)} AND model_version = {piece.model_version} "
        f"AND model_digest = {quoted(piece.model_digest)} AND variant = {quoted(piece.variant)}"
    )


def offsets(covers: Sequence[OffsetRange]) -> str:
    """Return the condition of predictions with these offsets."""
    return f"({' OR '.join(_place(one, one.topic, '_offset') for one in covers) or '1'})"


def label_offsets(covers: Sequence[OffsetRange]) -> str:
    """Return the condition of joined labels with these offsets; late ones are named by the number of their round."""
    return f"({' OR '.join(map(_label_place, covers)) or '1'})"


def _label_place(one: OffsetRange) -> str:
    if one.topic.endswith(LATE_SUFFIX):
        return _place(one, one.topic.removesuffix(LATE_SUFFIX), "pass")
    return f"(pass = 0 AND {_place(one, one.topic, '_offset')})"


def _place(one: OffsetRange, topic: str, column: str) -> str:
    between = f"{column} BETWEEN {one.first_offset} AND {one.last_offset}"
    return f"(_topic = {quoted(topic)} AND _partition = {one.partition} AND {between})"


def quoted(text: str) -> str:
    """Return a SQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
