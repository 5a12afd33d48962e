"""Elec2, the New South Wales electricity market (Harries, 1999), out of a pinned package that carries it."""

from pathlib import Path
from typing import Final

from modelyard_cli.demo import wheels
from modelyard_cli.demo.wheels import Member, Wheel

SCIKIT_MULTIFLOW: Final = Wheel(
    "scikit-multiflow==0.4.1",
    "17842a0719992871f66f2edd475c3cf947be73d16595cb28d9ec26a79cfc58de",
    ("--python-version", "3.7", "--platform", "manylinux1_x86_64"),
)
FILE: Final = Member(
    SCIKIT_MULTIFLOW,
    "skmultiflow/data/datasets/elec.csv",
    "ebdfe5480ae25a43a7d054286135e3a9484697a2850d5158a333b1578c28bb97",
    "elec2.csv",
)
COLUMNS: Final = ("period", "nsw_price", "nsw_demand", "vic_price", "vic_demand", "transfer")
"""The file numbers its columns; these are their names in the data set's description."""
CLASSES: Final = ("DOWN", "UP")
ROW_S: Final = 1_800.0
"""The rows are half-hours."""
BEGAN_S: Final = 831_423_600.0
"""7 May 1996 in New South Wales, in seconds since 1970."""


def fetch(cache: Path) -> Path:
    """The cached file; downloaded and checked the first time, offline ever after."""
    return wheels.fetch(FILE, cache)
