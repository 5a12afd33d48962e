"""All pickle streams of a file, one after another."""

from dataclasses import dataclass, field
from typing import Final

from modelyard_admission.buffers import Data
from modelyard_admission.limits import Budget
from modelyard_admission.pickles.joblib_arrays import JoblibArrays
from modelyard_admission.pickles.values import Items, Name, Persistent
from modelyard_admission.pickles.walker import Record, Walker

TORCH_MAGIC: Final = 0x1950A86A20F9469CFC6C
"""First object of a file of torch before 1.6, which is five streams and then raw storages."""


@dataclass(slots=True)
class Streams:
    records: list[Record] = field(default_factory=list)
    end: int = 0
    """Position after the last stream (and its storages) that could be walked."""
    arrays: int = 0
    """Arrays of joblib."""
    legacy_torch: bool = False
    plain: list[Record] = field(default_factory=list)
    """The same bytes as a plain unpickler reads them, which takes joblib's arrays for opcodes."""

    @property
    def names(self) -> set[Name]:
        return {name for record in self.records for name in record.names}


def walk(data: Data, budget: Budget) -> Streams:
    """Walk streams until the end of the file, or until one cannot be walked to its end."""
    found = Streams()
    while found.end < len(data) or not found.records:
        arrays = JoblibArrays(data, budget)
        record = Walker(data, found.end, budget, arrays).run()
        found.records += [record, *arrays.records]
        found.arrays += arrays.arrays
        if not record.complete:
            break
        found.end = record.end
        found.legacy_torch = found.legacy_torch or record.result == TORCH_MAGIC
        if found.legacy_torch and len(found.records) == 5:
            found.end = _after_storages(data, found.records)
            break
    if found.arrays:
        found.plain = [Walker(data, 0, budget).run()]
    return found


_ITEM_BYTES: Final = {
    "torch.BoolStorage": 1, "torch.ByteStorage": 1, "torch.CharStorage": 1, "torch.QInt8Storage": 1,
    "torch.QUInt8Storage": 1, "torch.UntypedStorage": 1, "torch.storage.UntypedStorage": 1, "torch.ShortStorage": 2,
    "torch.HalfStorage": 2, "torch.BFloat16Storage": 2, "torch.IntStorage": 4, "torch.FloatStorage": 4,
    "torch.QInt32Storage": 4, "torch.LongStorage": 8, "torch.DoubleStorage": 8, "torch.ComplexFloatStorage": 8,
    "torch.ComplexDoubleStorage": 16,
}  # fmt: skip


def storage_item_bytes(storage: object) -> int | None:
    """Bytes of one item of a storage class of torch; None for a class that is not known."""
    return _ITEM_BYTES.get(storage.full) if isinstance(storage, Name) else None


def legacy_storages(data: Data, records: list[Record]) -> dict[str, tuple[int, int]]:
    """(start, end) of each storage's bytes by key; ends early where the bytes and the description disagree."""
    found: dict[str, tuple[int, int]] = {}
    widths, at = _widths(records[3]), records[4].end
    keys = records[4].result.values if isinstance(records[4].result, Items) else []
    for key in keys:
        width = widths.get(key) if isinstance(key, str) else None
        end = at + 8 + int.from_bytes(data[at : at + 8], "little") * (width or 0)
        if width is None or at + 8 > len(data) or end > len(data):
            break
        found[str(key)] = (at + 8, end)
        at = end
    return found


def _widths(record: Record) -> dict[str, int]:
    """Bytes of one item of each storage that a stream refers to."""
    stored = [storage_of(value) for value in record.persistent]
    widths = {key: storage_item_bytes(kind) for kind, key, _ in filter(None, stored)}
    return {key: width for key, width in widths.items() if width is not None}


def _after_storages(data: Data, records: list[Record]) -> int:
    storages = legacy_storages(data, records)
    return max([records[4].end, *(end for _, end in storages.values())])


def storage_of(value: object) -> tuple[object, str, int] | None:
    """(class, key, number of items) of a persistent id of torch."""
    match value:
        case Persistent(id=("storage", kind, str(key), _, int(items), *_)):
            return kind, key, items
    return None
