"""The inputs of a version, compiled: one decode checks names, types and nulls."""

from collections.abc import Callable
from operator import itemgetter
from typing import Annotated, Any, Final

import msgspec

from modelyard_contracts.manifest import FeatureKind, FeatureSchema

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


class Contract:
    """One feature schema. `decode` is fast and raises errors of msgspec; violations.py explains them."""

    def __init__(self, schema: FeatureSchema) -> None:
        self.schema = schema
        self.id = schema.id
        self.numeric, self.categorical = schema.numeric, schema.categorical
        self._split = len(self.numeric)
        named, listed = _feature_types(schema)
        self._named: Any = named
        request = msgspec.defstruct(
            "PredictRequest",
            [
                ("features", named | listed),
                ("entity_key", EntityKey | None, None),
                ("prediction_id", PredictionId | None, None),
            ],
            forbid_unknown_fields=True,
        )
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(request).decode
        """bytes -> a request with .features (see `columns`), .entity_key, .prediction_id."""
        self.decode_features: Callable[[bytes], Any] = msgspec.json.Decoder(named | listed).decode
        self._infer_parts = _infer_parts(schema)
        order = [f.name for f in schema.features]
        places = [order.index(name) for name in (*self.numeric, *self.categorical)]
        self._sorted = places == sorted(places)
        self._reorder: Callable[[Any], Any] = itemgetter(*places) if len(places) > 1 else tuple

    def columns(self, features: Any) -> tuple[Numbers, Words]:
        """(numeric, categorical) values in the order of PredictionLogged, from the features that `decode` returned."""
        if isinstance(features, self._named):
            values = msgspec.structs.astuple(features)
        else:
            values = features if self._sorted else self._reorder(features)
        return values[: self._split], values[self._split :]

    def infer_body(self, numbers: Numbers, words: Words) -> bytes:
        """One row as an Open Inference Protocol v2 request."""
        head, between, tail = self._infer_parts
        if not words:
            return head + _ENCODE(numbers) + tail
        if not numbers:
            return between + _ENCODE(words) + tail
        return head + _ENCODE(numbers) + between + _ENCODE(words) + tail


_ENCODE: Final = msgspec.json.Encoder().encode


def _infer_parts(schema: FeatureSchema) -> tuple[bytes, bytes, bytes]:
    """The constant parts of a request: before the numbers, before the words, and at the end."""
    num = b'{"name":"num","shape":[1,%d],"datatype":"FP64","data":' % len(schema.numeric)
    cat = b'{"name":"cat","shape":[1,%d],"datatype":"BYTES","data":' % len(schema.categorical)
    begin = b'{"inputs":['
    return begin + num, b"}," + cat if schema.numeric else begin + cat, b"}]}"


def _feature_types(schema: FeatureSchema) -> tuple[Any, Any]:
    """The object form, numeric features first, and the list form, in the schema's order."""
    types: dict[str, Any] = {}
    for feature in schema.features:
        kind: Any = float if feature.kind is FeatureKind.NUMERIC else str
        types[feature.name] = kind | None if feature.nullable else kind
    ordered = [*schema.numeric, *schema.categorical]
    # Feature names need not be Python identifiers: the struct's fields are numbered and renamed.
    fields = [(f"f{place}", types[name]) for place, name in enumerate(ordered)]
    rename = {f"f{place}": name for place, name in enumerate(ordered)}
    named = msgspec.defstruct("Features", fields, rename=rename, forbid_unknown_fields=True, gc=False)
    return named, tuple[tuple(types.values())]  # type: ignore[misc]
