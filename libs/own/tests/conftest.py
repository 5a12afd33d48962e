"""Models as their authors save them, and samples of their rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_own import Description, Plan, Request, plan_of

NAMES = ("no", "yes")


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A scikit-learn pipeline that takes `age` and `income` and answers `no` or `yes`, in the format of skops."""
    import pandas as pd
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = pd.DataFrame({"age": np.arange(40.0), "income": np.arange(40.0) ** 2 % 17})
    labels = np.array(NAMES, dtype=object)[(table.age > 20).astype(int)]
    path = tmp_path / "churn.skops"
    skops.io.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(table, labels), path)
    return path


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A folder with its own `predict.py` and a sample."""
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "predict.py").write_text(
        "def predict(rows):\n    return ['high' if r['n'] > 2 else 'low' for r in rows]\n"
    )
    write(folder / "sample.csv", "n,answer", *(f"{n},{'high' if n > 2 else 'low'}" for n in range(6)))
    return folder


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Rows of the pipeline with their true class."""
    lines = (f"{age},{age * 3},{NAMES[age > 20]}" for age in range(40))
    return write(tmp_path / "sample.csv", "age,income,label", *lines)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def plan(path: Path, sample: Path | None = None, *, code: bool = False, reason: str = "", **stated: Any) -> Plan:
    """The plan of a model with stated facts."""
    facts = stated if sample is None else {"sample": str(sample), **stated}
    return plan_of(Request(path, Description(**facts), code=code, reason=reason))
