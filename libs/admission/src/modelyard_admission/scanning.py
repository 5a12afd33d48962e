"""Scan files: each by the format of its content, with the scanner of that format, failing closed."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from modelyard_admission.buffers import Data, has_zip_tail, opened
from modelyard_admission.errors import LimitReached, Malformed
from modelyard_admission.formats import COMPRESSED, UNKNOWN, recognise_format
from modelyard_admission.limits import Budget, Limits
from modelyard_admission.names import name_notes
from modelyard_admission.notes import FileResult, Job, Note, Scanner, Verdict, failing_closed, of_error, worst
from modelyard_admission.scanners import archives, arrays, gguf, keras, pickles, plain, tensors, texts
from modelyard_admission.walks import tree

SCANNERS: Final[dict[str, tuple[Scanner, Verdict]]] = {
    "safetensors": (tensors.scan_safetensors, Verdict.SAFE_FORMAT),
    "onnx": (tensors.scan_onnx, Verdict.SAFE_FORMAT),
    "gguf": (gguf.scan_gguf, Verdict.SAFE_FORMAT),
    "xgboost-ubj": (plain.scan_ubjson, Verdict.SAFE_FORMAT),
    **{name: (partial(plain.scan_ended, name), Verdict.SAFE_FORMAT) for name in ("parquet", "png", "jpeg")},
    "keras": (keras.scan_keras, Verdict.ALLOW_LISTED),
    "hdf5": (keras.scan_hdf5, Verdict.ALLOW_LISTED),
    "torchscript": (archives.scan_torch, Verdict.SUSPICIOUS),
    "npy": (arrays.scan_npy, Verdict.SAFE_FORMAT),
    "skops": (arrays.scan_skops, Verdict.ALLOW_LISTED),
    "pickle": (pickles.scan_pickle, Verdict.ALLOW_LISTED),
    "torch": (archives.scan_torch, Verdict.ALLOW_LISTED),
    "torch-export": (archives.scan_torch, Verdict.ALLOW_LISTED),
    "npz": (archives.scan_zip, Verdict.SAFE_FORMAT),
    "zip": (archives.scan_zip, Verdict.SAFE_FORMAT),
    "tar": (archives.scan_tar, Verdict.SAFE_FORMAT),
    **{name: (partial(archives.scan_compressed, name), Verdict.SAFE_FORMAT) for name in sorted(COMPRESSED)},
    **dict.fromkeys(("text", "markdown", "yaml", "csv", "lightgbm"), (texts.scan_text, Verdict.SAFE_FORMAT)),
    **dict.fromkeys(("json", "xgboost-json"), (texts.scan_json, Verdict.SAFE_FORMAT)),
    "container-image": (texts.scan_image, Verdict.SUSPICIOUS),
    "api-model": (texts.scan_json, Verdict.SAFE_FORMAT),
    "jsonl": (texts.scan_json_lines, Verdict.SAFE_FORMAT),
    "python": (texts.scan_python, Verdict.SUSPICIOUS),
    "script": (plain.scan_code, Verdict.SUSPICIOUS),
    "native-code": (plain.scan_code, Verdict.SUSPICIOUS),
    "python-bytecode": (plain.scan_code, Verdict.SUSPICIOUS),
}
"""Scanner by format, and the verdict of a file without findings. Every other format is incomplete."""

MARKER_FILES: Final = frozenset({"__init__.py", "py.typed", ".gitkeep", ".gitattributes"})
"""Files whose existence is their content."""
_ARCHIVES: Final = frozenset({"zip", "npz", "skops", "keras", "torch", "torch-export", "torchscript"})


def scan_content(
    data: Data, name: str, budget: Budget, sizes: Mapping[str, int], depth: int = 0
) -> tuple[str, Verdict, list[Note]]:
    """(format, verdict without findings, findings) of the content of one file or member."""
    try:
        budget.check_time()
        format_ = recognise_format(data)
    except Malformed as error:
        return UNKNOWN, Verdict.INCOMPLETE, [of_error(error, "unrecognised")]
    if format_ == "empty" and name.rpartition("/")[2] in MARKER_FILES:
        return format_, Verdict.SAFE_FORMAT, []
    if format_ not in SCANNERS:
        return format_, Verdict.INCOMPLETE, [_unscanned(format_)]
    scanner, base = SCANNERS[format_]
    job = Job(name, budget, partial(_nested, name, budget, sizes, depth), sizes)
    notes = list(_limited(failing_closed(scanner, data, job, f"{format_}-damaged"), budget.limits.findings_per_file))
    return format_, base, [*notes, *_polyglot(format_, data)]


def _unscanned(format_: str) -> Note:
    what = "is empty" if format_ == "empty" else f"is of the format {format_!r}, which cannot be checked"
    return Note(
        "unscanned-format", Verdict.INCOMPLETE, what, remedy="Leave the file out, or save it in a supported format."
    )


def _limited(notes: Iterator[Note], most: int) -> Iterator[Note]:
    for count, note in enumerate(notes):
        if count == most:
            yield Note("more-findings", Verdict.INCOMPLETE, f"has more than {most} findings; the others are not listed")
            return
        yield note


def _polyglot(format_: str, data: Data) -> Iterator[Note]:
    if format_ not in _ARCHIVES and has_zip_tail(data):
        yield Note(
            "two-formats",
            Verdict.MALICIOUS,
            f"is of the format {format_!r} from its start and a zip archive from its end",
        )


def _nested(name: str, budget: Budget, sizes: Mapping[str, int], depth: int, data: Data, member: str) -> Iterator[Note]:
    if depth >= budget.limits.depth:
        raise LimitReached(f"nests archives deeper than {budget.limits.depth}", member)
    format_, base, notes = scan_content(data, f"{name}/{member}", budget, sizes, depth + 1)
    if base > Verdict.SAFE_FORMAT:
        yield Note("member-format", base, f"holds content of the format {format_!r}", member)
    for note in notes:
        yield note.inside(member)


def scan_file(path: Path, name: str, budget: Budget, sizes: Mapping[str, int]) -> FileResult:
    """Findings of one file; one that cannot be read is incomplete."""
    try:
        with opened(path) as data:
            format_, base, notes = scan_content(data, name, budget, sizes)
            notes += name_notes(name)
            return FileResult(name, len(data), format_, worst([base, *(note.verdict for note in notes)]), tuple(notes))
    except (OSError, Malformed) as error:
        note = Note("unreadable", Verdict.INCOMPLETE, f"cannot be read ({error})")
        return FileResult(name, 0, UNKNOWN, Verdict.INCOMPLETE, (note,))


def scan_tree(path: Path, limits: Limits) -> tuple[FileResult, ...]:
    """Scan a file, or all files below a folder, in the order of their names."""
    budget = Budget(limits)
    files = list(tree(path))
    sizes = {name: file.lstat().st_size for file, name in files}
    if len(files) > limits.files or sum(sizes.values()) > limits.total_bytes:
        note = Note("too-large", Verdict.INCOMPLETE, f"has {len(files)} files of {sum(sizes.values())} bytes")
        return (FileResult(".", sum(sizes.values()), UNKNOWN, Verdict.INCOMPLETE, (note,)),)
    return tuple(scan_file(file, name, budget, sizes) for file, name in files)
