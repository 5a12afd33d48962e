"""From the folder of a model that MLflow saved to a manifest. The folder stays whole, so that MLflow can load it.

`python -m modelyard_own.unwrapping FOLDER` prints it as JSON. The registry runs it in a process of its own, which gives
up everything but the folder, as files of others are hostile until they are scanned.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard_admission.limits import Limits
from modelyard_admission.walls import restrict_scan
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.tables.table import UnfitFile
from modelyard_own import mlflow
from modelyard_own.description import Description
from modelyard_own.errors import UnfitModel
from modelyard_own.files import model_files
from modelyard_own.manifest import Plan
from modelyard_own.planning import Request, plan_of

NAME: Final = "unnamed"
"""In place of the model's name, which the registry writes."""
PICKLES: Final = (".pkl", ".pickle", ".cloudpickle")


@dataclass(frozen=True)
class Unwrapped:
    """A manifest for all files of the folder, and the bytes of its example file."""

    manifest: ModelManifest
    example: bytes


def unwrap(folder: Path) -> Unwrapped:
    """Describe the model inside of a folder with `MLmodel`; UnfitModel names what is missing and the remedy."""
    if not (folder / mlflow.MLMODEL).is_file():
        raise UnfitModel("the folder has no MLmodel file; register the folder that log_model wrote")
    inner = mlflow.inner_model(folder)
    if not inner.is_file():
        raise UnfitModel(
            f"{inner.relative_to(folder)}: is a folder, which is served from its own files; download it and run "
            "`modelyard register`"
        )
    if mlflow.input_example(folder) is None:
        raise UnfitModel(
            "the model has no input example of a data frame, so its columns and types are not known; log it with "
            "input_example=X.head(500), a pandas.DataFrame as live traffic looks"
        )
    plan = _plan(folder, inner)
    options = {**plan.options, "model": inner.relative_to(folder).as_posix()}
    whole = plan.model_copy(update={"files": model_files(folder), "options": options})
    entries = tuple(file.entry() for file in whole.files)
    return Unwrapped(whole.manifest(NAME, None, entries), whole.example_bytes)


def _plan(folder: Path, inner: Path) -> Plan:
    try:
        return plan_of(Request(folder, Description()))
    except UnfitModel as error:
        if inner.suffix in PICKLES:
            raise UnfitModel(f'{error} With MLflow: log_model(..., serialization_format="skops").') from error
        raise


def main(folder: Path) -> None:
    """Print `manifest` and `example`, or `refused`, a sentence."""
    restrict_scan((folder,), Limits())
    try:
        found = unwrap(folder)
        answer = {"manifest": found.manifest.model_dump(mode="json"), "example": found.example.decode()}
    except UnfitFile as error:
        answer = {"refused": str(error).replace(f"{folder}/", "").replace(str(folder), "the folder")}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
