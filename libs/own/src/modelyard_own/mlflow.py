"""The model inside of an MLflow folder, and its input example. Whatever `MLmodel` says about loading is not used."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from modelyard_contracts.tables.table import Table
from modelyard_own.errors import UnfitModel

MLMODEL: Final = "MLmodel"
MAX_BYTES: Final = 16 * 1024 * 1024
MODEL_KEYS: Final = ("data", "model_data", "pickled_model", "model_binary")
"""Keys of a flavor that name its model file or folder."""


def inner_model(folder: Path) -> Path:
    """Return the file or folder of the flavor inside; UnfitModel if `MLmodel` names none."""
    named: list[str] = [
        flavor[key] for flavor in _flavors(folder).values() for key in MODEL_KEYS if isinstance(flavor.get(key), str)
    ]
    for name in named:
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()) and path.exists():
            return folder / name
    raise UnfitModel(f"{folder / MLMODEL}: names no model file in the folder; register the model's own file instead")


def input_example(folder: Path) -> Table | None:
    """Return the saved input example of a data frame as a table; None without one."""
    info = _document(folder).get("saved_input_example_info")
    if not isinstance(info, Mapping) or info.get("pandas_orient") != "split":
        return None
    path = folder / str(info.get("artifact_path", ""))
    try:
        found = json.loads(_read(path))
        header, rows = [str(name) for name in found["columns"]], found["data"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnfitModel(f"{path}: is no input example of a data frame; give rows by --sample") from error
    cells = [[_cell(value) for value in row] for row in rows]
    return Table(path, header, cells, list(range(2, len(cells) + 2)))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _flavors(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The flavors of a framework, by name."""
    found = _document(folder).get("flavors")
    if not isinstance(found, Mapping):
        raise UnfitModel(f"{folder / MLMODEL}: has no `flavors`; save the model with a release of MLflow again")
    return {name: it for name, it in found.items() if name != "python_function" and isinstance(it, Mapping)}


def _document(folder: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(_read(folder / MLMODEL))
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise UnfitModel(f"{folder / MLMODEL}: is not YAML; save the model again") from error
    return found if isinstance(found, Mapping) else {}


def _read(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return path.read_text(encoding="utf-8")
