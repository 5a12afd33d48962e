"""What flavours store beside or instead of an estimator: documents in JSON, and tensors in safetensors."""

from importlib.metadata import version
from typing import Any, TypeVar

import safetensors.numpy
from numpy.typing import NDArray

from modelyard_contracts import Part
from modelyard_flavours.errors import Inadmissible

Tensors = dict[str, NDArray[Any]]
Document = TypeVar("Document", bound=Part)


def read_document(kind: type[Document], path: str, data: bytes) -> Document:
    """A document of this release; Inadmissible names the file that holds another one."""
    try:
        return kind.model_validate_json(data)
    except ValueError as error:
        name = kind.__name__.lower()
        article = "an" if name[0] in "aeiou" else "a"
        raise Inadmissible(path, f"is not {article} {name} of this release ({error})") from error


def read_tensors(path: str, data: bytes) -> Tensors:
    """Tensors by name; Inadmissible when the bytes are no safetensors file."""
    try:
        found: Tensors = safetensors.numpy.load(data)
    except Exception as error:  # its error type is the Rust library's own
        raise Inadmissible(path, f"is not a readable safetensors file ({error})") from error
    return found


def environment() -> dict[str, str]:
    """Versions of the packages that loading tensors needs."""
    return {name: version(name) for name in ("numpy", "safetensors")}
