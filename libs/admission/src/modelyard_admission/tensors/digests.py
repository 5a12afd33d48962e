"""Digest of every tensor, independent of the file format, the order and the layout in which it is stored."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from modelyard_admission.buffers import Data, opened
from modelyard_admission.formats import recognise_format
from modelyard_admission.limits import Budget, Limits
from modelyard_admission.tensors import arrays, torch_files
from modelyard_admission.tensors.values import Stored
from modelyard_admission.walks import tree
from modelyard_contracts.admission import TensorDigest

DIGEST_BYTES: Final = 16
MAX_TENSORS: Final = 100_000

READERS: Final[dict[str, Callable[[Data, Path, Budget], Iterable[Stored]]]] = {
    "safetensors": arrays.of_safetensors,
    "npy": arrays.of_npy,
    "npz": arrays.of_zip,
    "skops": arrays.of_zip,
    "onnx": arrays.of_onnx,
    "gguf": arrays.of_gguf,
    "torch": torch_files.of_zip,
    "torch-export": torch_files.of_export,
    "pickle": torch_files.of_legacy,
}
"""Readers by format; other formats have no tensors that can be compared."""


def tensor_digests(path: Path, limits: Limits | None = None) -> tuple[TensorDigest, ...]:
    """Digests of the tensors of a file or of all files of a folder, by name.

    Equal digests mean equal type, shape and values: a model has the same ones as safetensors, as a state dict of torch
    and as npz. A file that cannot be read contributes none; whether it is damaged is a matter of the scan.
    """
    budget = Budget(limits or Limits())
    found: dict[str, TensorDigest] = {}
    for file, _ in tree(path):
        with suppress(Exception):  # hostile bytes must not fail the caller: the scan reports what is wrong with them
            for tensor in _of_file(file, budget):
                found.setdefault(tensor.name, tensor)
    return tuple(found[name] for name in sorted(found)[:MAX_TENSORS])


def _of_file(file: Path, budget: Budget) -> Iterator[TensorDigest]:
    with opened(file) as data:
        for tensor in READERS.get(recognise_format(data), _none)(data, file, budget):
            yield digest(tensor)
            budget.check_time()


def _none(data: Data, path: Path, budget: Budget) -> Iterator[Stored]:
    yield from ()


def digest(tensor: Stored) -> TensorDigest:
    """BLAKE2b over type, shape, and the little-endian values in C order."""
    state = hashlib.blake2b(f"{tensor.dtype}{list(tensor.shape)}".encode(), digest_size=DIGEST_BYTES)
    size_bytes = 0
    for piece in tensor.pieces():
        state.update(piece)
        size_bytes += len(piece)
    return TensorDigest(
        name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, size_bytes=size_bytes, digest=state.hexdigest()
    )
