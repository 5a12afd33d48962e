"""Environment variables that a confined process may see: settings of libraries, never a secret."""

import os
from collections.abc import Mapping
from typing import Final

ALLOWED: Final = frozenset(
    {
        "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE",
        "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE",
        "LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "JE_ARROW_MALLOC_CONF",
        "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "GOMP_SPINCOUNT",
        "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TOKENIZERS_PARALLELISM",
    }
)  # fmt: skip


def allowed_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the allowed variables of an environment; of this process's without an argument."""
    given = os.environ if environment is None else environment
    return {name: given[name] for name in sorted(ALLOWED & given.keys())}


def forget_environment() -> None:
    """Remove all other variables from this process."""
    for name in os.environ.keys() - ALLOWED:
        del os.environ[name]
