"""What fitting and saving need, loaded ahead of the first run by doing it once, small: imports take seconds on a busy
machine, and libraries put some off until they are used."""

import numpy as np

from modelyard_flavours import Encoding
from modelyard_trainer.domain.recipes import CANDIDATES, TabularParameters
from modelyard_trainer.recipes.candidates import attempt, fit_and_save
from modelyard_trainer.worker.work import Rows

ROWS = 40


def warm_up() -> None:
    """Every candidate once."""
    labels = np.arange(ROWS) % 2
    times = np.arange(ROWS).astype("datetime64[us]")
    rows = Rows(labels[:, None].astype(np.float64), np.zeros((ROWS, 0), dtype=object), labels, times)
    encoding = Encoding.learn(rows.numeric, rows.categorical, ("a", "b"))
    parameters = TabularParameters(max_iterations=2)
    for name in CANDIDATES:
        attempt(name, parameters, rows, rows, encoding)
        fit_and_save(name, parameters, rows, encoding)


warm_up()
