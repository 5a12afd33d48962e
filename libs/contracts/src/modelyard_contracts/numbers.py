"""Ranges of numbers in documents and events.

Every number has one, so that no reader receives a value it cannot store or compute with: NaN, infinity, or an integer
beyond the columns of SQL and ClickHouse.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Final

from pydantic import Field

MAX_COUNT: Final = 2**53
"""Largest integer that JSON, Avro, numpy and ClickHouse all hold exactly."""
MAX_VERSION: Final = 2**31 - 1
"""Largest version number: a 32-bit integer in PostgreSQL."""
MAX_TIMEOUT_MS: Final = 3_600_000

ANY_FLOAT: Final = "any float64"
"""Marks a number without a range."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
"""A number of rows, bytes or characters, an offset, or the place of an event in a series."""
VersionNumber = Annotated[int, Field(ge=1, le=MAX_VERSION)]
"""A version in the registry."""
LoggedVersion = Annotated[int, Field(ge=0, le=MAX_VERSION)]
"""A version as a record of traffic names it; 0 for upstreams without versions."""
Index = Annotated[int, Field(ge=0, le=MAX_VERSION)]
"""A small position, such as a partition or a step."""
TimeoutMs = Annotated[int, Field(gt=0, le=MAX_TIMEOUT_MS)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A duration, a cost or a distance."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Measured = Annotated[float, ANY_FLOAT]
"""A feature or score of live traffic: NaN and infinity are allowed, and counted in a bin of their own."""


def finite_or_none(value: float | None) -> float | None:
    """The value, or None if it is not a finite number: for writers of optional fields."""
    return value if value is not None and isfinite(value) else None


def finite_only(values: Mapping[str, float]) -> dict[str, float]:
    """The entries with a finite value: for writers of metrics and evidence."""
    return {name: value for name, value in values.items() if isfinite(value)}
