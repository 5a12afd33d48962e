"""Models of tables: a scikit-learn pipeline, a gradient-boosted tree, an image classifier, rules, and a bad pickle."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SEED = 7
RULES = '''"""Rules of a payment check: the amount and the country decide."""

LIMIT = {limit}


def predict(rows):
    """A class per row."""
    return ["review" if (row["amount"] or 0) > LIMIT or row["country"] == "XX" else "pass" for row in rows]
'''


def cancer(folder: Path) -> None:
    """A pipeline of scikit-learn, saved by skops."""
    import skops.io
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = load_breast_cancer(as_frame=True)
    table, labels = found.data.iloc[:, :8], found.target.map({0: "malignant", 1: "benign"})
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)).fit(table, labels)
    skops.io.dump(model, folder / "cancer.skops")
    _write(folder, table, diagnosis=labels, answer=model.predict(table))


def diabetes(folder: Path) -> None:
    """A regression by XGBoost, saved as JSON."""
    import xgboost
    from sklearn.datasets import load_diabetes

    found = load_diabetes(as_frame=True, scaled=False)
    model = xgboost.XGBRegressor(n_estimators=60, max_depth=3, random_state=SEED, n_jobs=1)
    model.fit(found.data, found.target)
    model.save_model(folder / "diabetes.json")
    _write(folder, found.data, progression=found.target, answer=model.predict(found.data))


def digits(folder: Path) -> None:
    """A neural network that reads images of 8 x 8 pixels, converted to ONNX."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    found = load_digits(as_frame=True)
    images = found.data.astype(np.float32)
    model = MLPClassifier((48,), max_iter=60, random_state=SEED).fit(images.to_numpy(), found.target)
    graph = to_onnx(model, images.to_numpy()[:1], options={"zipmap": False})
    (folder / "digits.onnx").write_bytes(graph.SerializeToString())
    _write(folder, found.data.astype(int), digit=found.target, answer=model.predict(images.to_numpy()))


def rules(folder: Path, rows: int = 700) -> None:
    """A rule engine in Python, and its second version with another limit."""
    random = np.random.default_rng(SEED)
    table = pd.DataFrame(
        {
            "amount": random.gamma(2.0, 200.0, rows).round(2),
            "country": random.choice(["DE", "FR", "XX"], rows, p=[0.6, 0.35, 0.05]),
        }
    )
    for name, limit in (("rules", 900), ("rules-2", 800)):
        (folder / name).mkdir()
        (folder / name / "predict.py").write_text(RULES.format(limit=limit))
        answers = np.where((table.amount > limit) | (table.country == "XX"), "review", "pass")
        _write(folder / name, table, answer=answers)


def bad(folder: Path) -> None:
    """A pickle that would run a command if it were loaded. Written by opcodes: nothing of it runs here either."""
    code = pickle.PROTO + b"\x02" + pickle.GLOBAL + b"os\nsystem\n"
    code += pickle.BINUNICODE + b"\x04\x00\x00\x00true"
    code += pickle.TUPLE1 + pickle.REDUCE + pickle.STOP
    (folder / "model.pkl").write_bytes(code)


def _write(folder: Path, table: Any, **columns: Any) -> None:
    """A sample: rows as the model takes them, the truth and the model's answers."""
    table.assign(**columns).sample(frac=1.0, random_state=SEED).to_csv(folder / "sample.csv", index=False)
