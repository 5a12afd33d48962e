"""The inputs of a version, compiled: one decode checks names, types and nulls."""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from modelyard_contracts.inference import InferenceCodec, parse_timestamp
from modelyard_contracts.signature import MAX_LOGGED_TEXT_CHARACTERS, Column, ColumnType, Signature, Task
from modelyard_router.domain.violations import explain_features

MAX_ID_CHARS: Final = 200
MAX_ENTITY_KEY_CHARS: Final = 1_024

PredictionId = Annotated[str, msgspec.Meta(max_length=MAX_ID_CHARS, pattern=r"^[!-~]+\Z")]
"""Printable ASCII without spaces: the id is sent in a header of the answer."""
EntityKey = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ENTITY_KEY_CHARS)]

Numbers = tuple[float | None, ...]
Words = tuple[str | None, ...]


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """A request whose features stay bytes until the version, and with it their contract, is chosen."""

    features: msgspec.Raw
    entity_key: EntityKey | None = None
    prediction_id: PredictionId | None = None


class Values(NamedTuple):
    """One row in the order of PredictionLogged."""

    numbers: Numbers
    """Booleans as 0 and 1, timestamps as seconds since 1970 UTC."""
    words: Words
    text_length: int | None = None
    """Characters of all texts, None without text columns."""


class Contract:
    """One signature. `decode` is fast and raises errors of msgspec; violations.py explains them."""

    def __init__(self, schema_id: str, signature: Signature) -> None:
        self.id, self.signature = schema_id, signature
        self.numeric, self.categorical = signature.numeric, signature.categorical
        self.codec = InferenceCodec(signature)
        self.infer_body: Callable[[Numbers, Words], bytes] = self.codec.encode_row
        columns = {column.name: column for column in signature.columns}
        self._ordered = [columns[name] for name in (*self.numeric, *self.categorical)]
        self._split = len(self.numeric)
        self._conversions = [(i, _CONVERT[c.type]) for i, c in enumerate(self._ordered) if c.type in _CONVERT]
        self.classes = signature.output.classes
        self.binary = signature.output.task is Task.BINARY
        self._texts = [i for i, c in enumerate(self._ordered[self._split :]) if c.type is ColumnType.TEXT]
        self._named, listed = _feature_types(signature, self._ordered)
        features: Any = (self._named | listed) if self._named else (dict[str, Any] | list[Any])
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(_request_type(features)).decode
        """bytes -> a request with .features (see `values`), .entity_key, .prediction_id."""
        self.decode_features: Callable[[bytes], Any] = msgspec.json.Decoder(features).decode
        order = [column.name for column in signature.columns]
        places = [order.index(column.name) for column in self._ordered]
        self._sorted = places == sorted(places)
        self._reorder: Callable[[Any], Any] = itemgetter(*places) if len(places) > 1 else tuple

    def values(self, features: Any) -> Values:
        """The values of the features that `decode` returned; BrokenContract where their type alone is not enough."""
        if self._named is None:
            row = self._checked(features)
        elif isinstance(features, self._named):
            row = msgspec.structs.astuple(features)
        else:
            row = features if self._sorted else self._reorder(features)
        if self._conversions:
            row = self._converted(row)
        return Values(row[: self._split], row[self._split :])

    def logged(self, values: Values) -> Values:
        """The values as they are logged: texts are cut, and their length is noted."""
        if not self._texts:
            return values
        cut = list(values.words)
        length = 0
        for place in self._texts:
            text = cut[place]
            length += len(text or "")
            cut[place] = text if text is None else text[:MAX_LOGGED_TEXT_CHARACTERS]
        return Values(values.numbers, tuple(cut), length)

    def _checked(self, features: Any) -> tuple[Any, ...]:
        """Values of features that no struct could check, because of characters in the columns' names."""
        explain_features(features, self.signature)
        if isinstance(features, Mapping):
            return tuple([_number(features[column.name], column) for column in self._ordered])
        row = dict(zip([column.name for column in self.signature.columns], features, strict=True))
        return tuple([_number(row[column.name], column) for column in self._ordered])

    def _converted(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        try:
            for place, convert in self._conversions:
                if values[place] is not None:
                    values[place] = convert(values[place])
        except (ValueError, OverflowError):
            given = dict(zip([column.name for column in self._ordered], row, strict=True))
            explain_features(given, self.signature)
            raise
        return tuple(values)


def _whole(value: float) -> float:
    if not value.is_integer():
        raise ValueError("not a whole number")
    return value


def _seconds(value: float | str) -> float:
    return parse_timestamp(value) if isinstance(value, str) else value


_CONVERT: Final[Mapping[ColumnType, Callable[[Any], float]]] = {
    ColumnType.INTEGER: _whole,
    ColumnType.BOOLEAN: float,
    ColumnType.TIMESTAMP: _seconds,
}
_TYPES: Final[Mapping[ColumnType, Any]] = {
    ColumnType.NUMBER: float,
    ColumnType.INTEGER: float,
    ColumnType.BOOLEAN: bool,
    ColumnType.TIMESTAMP: float | str,
    ColumnType.CATEGORY: str,
    ColumnType.TEXT: str,
}


def _number(value: Any, column: Column) -> Any:
    """JSON integers as floats, as msgspec decodes them."""
    return float(value) if type(value) is int and column.type.numeric else value


def _request_type(features: Any) -> Any:
    fields: list[Any] = [
        ("features", features),
        ("entity_key", EntityKey | None, None),
        ("prediction_id", PredictionId | None, None),
    ]
    return msgspec.defstruct("PredictRequest", fields, forbid_unknown_fields=True)


def _feature_types(signature: Signature, ordered: list[Column]) -> tuple[Any, Any]:
    """The object form, numbers first, and the list form, in the signature's order; (None, None) for odd names."""
    names = [column.name for column in ordered]
    if any(character in '\\"' or character < " " for name in names for character in name):
        return None, None  # msgspec has no struct fields with such names
    # Column names need not be Python identifiers: the struct's fields are numbered and renamed.
    fields = [(f"f{place}", _type(column)) for place, column in enumerate(ordered)]
    rename = {f"f{place}": name for place, name in enumerate(names)}
    named = msgspec.defstruct("Features", fields, rename=rename, forbid_unknown_fields=True, gc=False)
    return named, tuple[tuple(_type(column) for column in signature.columns)]  # type: ignore[misc]


def _type(column: Column) -> Any:
    kind = _TYPES[column.type]
    if column.max_length is not None:
        kind = Annotated[kind, msgspec.Meta(max_length=column.max_length)]
    return kind | None if column.nullable else kind
