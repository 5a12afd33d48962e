"""Findings of formats that hold tensors only: safetensors, numpy, ONNX."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from modelyard_admission.buffers import Data
from modelyard_admission.notes import Job, Note, Verdict
from modelyard_admission.readers.onnx import External, Model, read_model
from modelyard_admission.readers.safetensors import read_header
from modelyard_admission.walks import is_inside

STANDARD_DOMAINS: Final = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft"}
)
"""Operators of ONNX itself and of onnxruntime; others need a library of native code."""


def scan_safetensors(data: Data, job: Job) -> Iterator[Note]:
    """The header alone: whatever it describes is numbers."""
    read_header(data)
    yield from ()


def scan_onnx(data: Data, job: Job) -> Iterator[Note]:
    """Structure, domains of operators and references to other files."""
    model = read_model(data)
    for domain in sorted(foreign_domains(model)):
        message = f"uses operators of the domain {domain[:100]!r}, which need a library of native code"
        yield Note("onnx-foreign-operators", Verdict.SUSPICIOUS, message)
    for tensor in model.tensors:
        if tensor.external is not None:
            yield from _external(tensor.name, tensor.external, job)


def foreign_domains(model: Model) -> set[str]:
    return (model.domains | set(model.opsets)) - STANDARD_DOMAINS - model.functions


def _external(name: str, external: External, job: Job) -> Iterator[Note]:
    """Data in another file: inside of the folder, present, and long enough."""
    if not is_inside(external.location):
        message = f"takes the tensor {name!r} from {external.location[:200]!r}, outside of the model"
        yield Note("onnx-external-path", Verdict.MALICIOUS, message)
        return
    folder = PurePosixPath(job.name).parent
    size_bytes = job.sizes.get((folder / external.location).as_posix())
    if size_bytes is None:
        message = f"takes the tensor {name!r} from {external.location!r}, which is not there"
        yield Note(
            "onnx-external-missing",
            Verdict.INCOMPLETE,
            message,
            remedy="Register the data file together with the model.",
        )
    elif (
        external.offset < 0 or external.offset + max(0, external.length or 0) > size_bytes or (external.length or 0) < 0
    ):
        message = f"takes the tensor {name!r} from bytes that {external.location!r} does not have"
        yield Note("onnx-external-size", Verdict.INCOMPLETE, message)
