"""Save models as their authors do, each with rows of its own: a skops file, rules in Python, an MLflow folder.

Usage: make_own.py FOLDER
"""

import csv
import sys
from pathlib import Path

import skops.io
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

RULES = '''"""Payments above a limit are reviewed."""


def predict(rows):
    return ["review" if (row["amount"] or 0) > 900 else "pass" for row in rows]
'''
MLMODEL = """flavors:
  sklearn:
    pickled_model: model.skops
    serialization_format: skops
    sklearn_version: 1.9.1
"""


def main(folder: Path) -> None:
    """Write cancer.skops with cancer.csv, rules/ and mlflow/."""
    found = load_breast_cancer(as_frame=True)
    table, truth = found.data.iloc[:, :6], found.target.map({0: "malignant", 1: "benign"})
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(table, truth)
    for name in ("rules", "mlflow"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, folder / "cancer.skops")
    table.assign(diagnosis=truth, answer=model.predict(table)).to_csv(folder / "cancer.csv", index=False)
    skops.io.dump(model, folder / "mlflow" / "model.skops")
    (folder / "mlflow" / "MLmodel").write_text(MLMODEL)
    (folder / "rules" / "predict.py").write_text(RULES)
    with (folder / "rules" / "sample.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["amount", "answer"])
        out.writerows([amount, "review" if amount > 900 else "pass"] for amount in range(5, 1_500, 5))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
