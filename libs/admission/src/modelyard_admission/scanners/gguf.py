"""Findings of GGUF files."""

from collections.abc import Iterator

from modelyard_admission.buffers import Data
from modelyard_admission.notes import Job, Note
from modelyard_admission.readers.gguf import read_gguf
from modelyard_admission.scanners.templates import template_notes


def scan_gguf(data: Data, job: Job) -> Iterator[Note]:
    """Bounds of the header and the tensors, and the chat templates."""
    for key, value in read_gguf(data).metadata.items():
        if key.startswith("tokenizer.chat_template") and isinstance(value, str):
            yield from template_notes(value, key)
