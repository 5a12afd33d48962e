"""Descriptions of models by their files, in a process with limits on memory and time."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from modelyard_registry.domain.ports import Described
from modelyard_runtime.errors import Invalid, Unavailable

TIMEOUT_S: Final = 120.0
FIELD: Final = "source"


class NotInstalled(Unavailable):
    """The package that describes models is missing."""

    code = "not_installed"


class IsolatedDescriber:
    """Runs `python -m modelyard_own.unwrapping`, which forbids itself the network, processes and other files."""

    def describe(self, folder: Path) -> Described:
        """Return what the process found; Invalid with its reason."""
        try:
            done = subprocess.run(  # noqa: S603 - our own module, without a shell
                [sys.executable, "-I", "-m", "modelyard_own.unwrapping", str(folder.absolute())],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                env={},
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Invalid(f"source: describing the model took longer than {TIMEOUT_S:g} s", field=FIELD) from error
        return _read(done)


def _read(done: subprocess.CompletedProcess[bytes]) -> Described:
    try:
        found = json.loads(done.stdout)
    except ValueError as error:
        if b"No module named" in done.stderr:
            raise NotInstalled("install modelyard-registry[mlflow]: it registers models of MLflow") from error
        reason = f"the process that describes the model ended with status {done.returncode}; a file may have crashed it"
        raise Invalid(f"source: {reason}", field=FIELD) from error
    if "refused" in found:
        raise Invalid(f"source: {found['refused']}", field=FIELD)
    return Described(found["manifest"], found["example"].encode())
