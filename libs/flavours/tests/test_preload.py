"""What a parent of model-loading processes imports in advance."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

CODE = """
import os, sys
import modelyard_flavours.preload
assert "skops.io" in sys.modules and "sklearn.ensemble" in sys.modules
assert not {"torch", "pandas", "pyarrow"} & set(sys.modules)
assert not os.path.exists("/proc/self/task") or len(os.listdir("/proc/self/task")) == 1
"""


def test_it_holds_the_flavours_libraries_no_others_and_no_thread() -> None:
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", CODE], env=one_thread, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
