"""Labels in the form that callers send."""

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from modelyard_contracts.inference.sentences import explain_decode
from modelyard_contracts.references import InvalidReference, Reference
from modelyard_router.domain.errors import BrokenContract, TooLarge

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""The range that the monitor can store; it would dead-letter labels outside it."""
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """The truth about one prediction: a class or a value."""

    prediction_id: Id
    label: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)] | None = None
    value: float | None = None
    occurred_at: Moment | None = None
    """None: now."""
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "api"
    model: str | None = None
    """The model that predicted; needed where several models share prediction ids."""


class Items(msgspec.Struct, forbid_unknown_fields=True):
    items: Annotated[list[Label], msgspec.Meta(min_length=1)]


class Probe(msgspec.Struct):
    """Whether a body has `items`."""

    items: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_PROBE: Final = msgspec.json.Decoder(Probe).decode
_ONE: Final = msgspec.json.Decoder(Label).decode
_MANY: Final = msgspec.json.Decoder(Items).decode


def read_labels(body: bytes, max_items: int) -> list[Label]:
    """One label, or `{"items": [...]}`; BrokenContract names the item and the field."""
    try:
        many = _PROBE(body).items is not msgspec.UNSET
        labels = _MANY(body).items if many else [_ONE(body)]
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        explained = explain_decode(body, error)
        raise BrokenContract(
            f'{explained.sentence}; send {{"prediction_id": "...", "label": "..."}} with the label as a string, '
            'or "value": a number, and occurred_at with its zone',
            field=explained.field,
        ) from error
    if len(labels) > max_items:
        raise TooLarge(f"{len(labels)} items; send at most {max_items} in one request", field="items")
    for place, label in enumerate(labels):
        _check(label, f"items[{place}]" if many else "")
    return labels


def _check(label: Label, item: str) -> None:
    """Raise BrokenContract for what the form alone does not exclude. item: its place, or '' for a single label."""
    prefix = f"{item}." if item else ""
    if (label.label is None) == (label.value is None):
        where = item or "label"
        raise BrokenContract(f"{where}: send either label or value", field=where)
    if label.occurred_at is not None and not EARLIEST <= label.occurred_at < LATEST:
        where = f"{prefix}occurred_at"
        moment = label.occurred_at.isoformat()
        raise BrokenContract(f"{where}: {moment} is not between the years 2000 and 2100; check its unit", field=where)
    if label.model is not None:
        try:
            Reference.parse(label.model)
        except InvalidReference as error:
            raise BrokenContract(f"{prefix}model: {error}", field=f"{prefix}model") from error
