"""What a folder or a file is as a model: its format, its framework, and the flavour that serves it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelyard_admission.buffers import opened
from modelyard_admission.errors import Malformed, NoModel, SeveralModels
from modelyard_admission.formats import COMPRESSED, UNKNOWN, recognise_format
from modelyard_admission.kinds import MODEL_FORMATS, Kind, kind_of
from modelyard_admission.layouts import Layout, layout_of
from modelyard_admission.limits import Budget, Limits
from modelyard_admission.readers.compressed import peek
from modelyard_admission.walks import tree


@dataclass(frozen=True, slots=True)
class RecognisedFile:
    """`path` is relative to the folder, with forward slashes; `format` is `unknown` if nothing fits."""

    path: str
    format: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Recognised:
    """A model that others made. Without a flavour, `reason` and `remedy` say why and how to get one."""

    path: str
    """The main file, relative to the folder."""
    format: str
    """Of the model as a whole: that of the main file, or `mlflow`, `transformers`, `peft-adapter`, `python`."""
    framework: str | None
    framework_version: str | None
    flavour: str | None
    reason: str | None
    remedy: str | None
    files: tuple[RecognisedFile, ...]


def recognise(path: Path) -> Recognised:
    """Recognise by content; names matter only where a layout is made of names, such as `predict.py`.

    NoModel or SeveralModels, which name the files, if there is not exactly one model.
    """
    budget = Budget(Limits())
    files = tuple(_file(file, name) for file, name in tree(path))
    root = path if path.is_dir() else path.parent
    layout = layout_of(root, {file.path: file.format for file in files})
    if layout is not None:
        return _recognised(layout.main, layout.format, _kind_of_layout(root, layout, budget), files)
    main = _main_file(path, files)
    with opened(root / main.path) as data:
        return _recognised(main.path, main.format, kind_of(main.format, data, budget), files)


def _file(path: Path, name: str) -> RecognisedFile:
    try:
        with opened(path) as data:
            format_ = recognise_format(data)
            if format_ in COMPRESSED and recognise_format(peek(data, format_)) == "pickle":
                format_ = f"pickle+{format_}"
            return RecognisedFile(name, format_, len(data))
    except (OSError, Malformed):
        return RecognisedFile(name, UNKNOWN, 0)


def _recognised(main: str, format_: str, kind: Kind, files: tuple[RecognisedFile, ...]) -> Recognised:
    return Recognised(main, format_, kind.framework, kind.version, kind.flavour, kind.reason, kind.remedy, files)


def _main_file(path: Path, files: Sequence[RecognisedFile]) -> RecognisedFile:
    candidates = [file for file in files if file.format.partition("+")[0] in MODEL_FORMATS]
    if not candidates:
        raise NoModel(path.name, [f"{file.path} ({file.format})" for file in files])
    if len(candidates) > 1:
        raise SeveralModels(path.name, [f"{file.path} ({file.format})" for file in candidates])
    return candidates[0]


def _kind_of_layout(root: Path, layout: Layout, budget: Budget) -> Kind:
    """The kind that the layout states; for an MLflow folder, the kind of the file inside of it."""
    if layout.format != "mlflow" or layout.inner is None:
        return layout.kind
    with suppress(Malformed, OSError), opened(root / PurePosixPath(layout.inner)) as data:
        kind = kind_of(layout.inner_format, data, budget)
        return Kind(
            kind.framework or layout.kind.framework, layout.kind.version, kind.flavour, kind.reason, kind.remedy
        )
    return layout.kind
