"""Irrevocable limits of a process, for code and files that others wrote."""

from modelyard_confine.amounts import Amounts
from modelyard_confine.environment import allowed_environment
from modelyard_confine.kernel import NotRestricted
from modelyard_confine.landlock import landlock_version
from modelyard_confine.process import Confinement, Walls, confine, restrict

__all__ = [
    "Amounts",
    "Confinement",
    "NotRestricted",
    "Walls",
    "allowed_environment",
    "confine",
    "landlock_version",
    "restrict",
]
