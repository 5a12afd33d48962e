"""A process that serves boosted trees imports neither pandas nor scikit-learn."""

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import COLUMNS, NAMES, Table, foreign_manifest
from .test_boosters import fit, save

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from modelyard_contracts.manifest import ModelManifest
from modelyard_flavours import load_model
manifest = ModelManifest.model_validate_json(sys.stdin.read())
predictor = load_model(manifest, Path(sys.argv[1]))
scores = predictor.predict(np.array([[1.0, np.nan]]), np.array([["red"]], dtype=object))
assert scores.shape == (1, 2)
print(sorted({"pandas", "sklearn", "torch", "pyarrow"} & set(sys.modules)))
"""


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_boosted_trees_need_no_other_library(tmp_path: Path, library: str) -> None:
    save(fit(library, Table(), 2), tmp_path, "txt" if library == "lightgbm" else "json")
    manifest = foreign_manifest(tmp_path, library, COLUMNS, NAMES[2])
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, input=manifest.model_dump_json(), capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr[-2_000:]
