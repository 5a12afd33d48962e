"""What things may be called."""

import re
from typing import Final

from modelyard_runtime.errors import Invalid

CHAMPION: Final = "champion"
"""The version that serves; the platform moves it as rollouts end."""
CHALLENGER: Final = "challenger"
"""The version that has part of the traffic, while a canary runs."""
MODEL_NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,127}$"
DIGEST: Final = r"^sha256:[0-9a-f]{64}$"
_ALIAS: Final = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_RESERVED: Final = re.compile(r"latest|v[0-9]+")
MANIFEST_FILE: Final = "manifest.json"


def check_alias(alias: str) -> str:
    """The alias, if it may be one."""
    if not _ALIAS.fullmatch(alias):
        raise Invalid(
            f"alias {alias!r}: use a small letter, then at most 63 small letters, digits, dots, dashes", field="alias"
        )
    if _RESERVED.fullmatch(alias):
        raise Invalid(f"alias {alias!r} is reserved (latest, v1, v2, ...); take another name", field="alias")
    return alias


def check_digest(digest: str) -> str:
    """The digest, if it is written as one."""
    if not re.fullmatch(DIGEST, digest):
        raise Invalid(f"digest {digest[:80]!r}: write sha256: and 64 hexadecimal digits", field="digest")
    return digest
