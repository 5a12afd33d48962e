"""Ordinary artifacts, made by the libraries themselves."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import pytest
import skops.io
from sklearn import (
    cluster,
    compose,
    decomposition,
    ensemble,
    feature_extraction,
    gaussian_process,
    impute,
    linear_model,
    model_selection,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

RNG: Final = np.random.default_rng(7)
X: Final = RNG.random((60, 4))
Y: Final = (X[:, 0] + X[:, 1] > 1).astype(int)
TEXTS: Final = ["a good film", "a bad film", "good good", "bad"] * 15

ESTIMATORS: Final[dict[str, Callable[[], Any]]] = {
    "logistic regression": lambda: linear_model.LogisticRegression().fit(X, Y),
    "ridge": lambda: linear_model.Ridge().fit(X, Y),
    "elastic net": lambda: linear_model.ElasticNetCV().fit(X, Y),
    "sgd": lambda: linear_model.SGDClassifier().fit(X, Y),
    "random forest": lambda: ensemble.RandomForestClassifier(5).fit(X, Y),
    "extra trees": lambda: ensemble.ExtraTreesRegressor(5).fit(X, Y),
    "gradient boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=3).fit(X, Y),
    "histogram boosting": lambda: ensemble.HistGradientBoostingClassifier(max_iter=3).fit(X, Y),
    "adaboost": lambda: ensemble.AdaBoostClassifier(n_estimators=3).fit(X, Y),
    "isolation forest": lambda: ensemble.IsolationForest(n_estimators=3).fit(X),
    "voting": lambda: ensemble.VotingClassifier(
        [("a", naive_bayes.GaussianNB()), ("b", tree.DecisionTreeClassifier())]
    ).fit(X, Y),
    "tree": lambda: tree.DecisionTreeClassifier().fit(X, Y),
    "svc": lambda: svm.SVC().fit(X, Y),
    "linear svc": lambda: svm.LinearSVC().fit(X, Y),
    "neighbours": lambda: neighbors.KNeighborsClassifier(algorithm="kd_tree").fit(X, Y),
    "naive bayes": lambda: naive_bayes.GaussianNB().fit(X, Y),
    "perceptron": lambda: neural_network.MLPClassifier((4,), max_iter=5).fit(X, Y),
    "gaussian process": lambda: gaussian_process.GaussianProcessRegressor().fit(X, Y),
    "k-means": lambda: cluster.KMeans(2, n_init=1).fit(X),
    "pca": lambda: decomposition.PCA(2).fit(X),
    "grid search": lambda: model_selection.GridSearchCV(tree.DecisionTreeClassifier(), {"max_depth": [1, 2]}).fit(X, Y),
    "text": lambda: pipeline.make_pipeline(
        feature_extraction.text.TfidfVectorizer(), linear_model.LogisticRegression()
    ).fit(TEXTS, [0, 1] * 30),
    "columns": lambda: pipeline.make_pipeline(
        compose.ColumnTransformer(
            [("numbers", pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler()), [0, 1]),
             ("kinds", preprocessing.OneHotEncoder(handle_unknown="ignore"), [2]),
             ("logs", preprocessing.FunctionTransformer(np.log1p), [3])]
        ),
        ensemble.RandomForestRegressor(3),
    ).fit(np.round(X, 1), Y),
}  # fmt: skip
COMPRESSIONS: Final = ("zlib", "gzip", "bz2", "xz", "lzma")


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """(name, file) of every artifact that the installed libraries can make."""
    for name, fit in ESTIMATORS.items():
        yield from _estimator(folder, name, fit())
    forest = ensemble.RandomForestClassifier(3).fit(X, Y)
    for protocol in range(6):
        yield f"pickle protocol {protocol}", _written(folder / f"p{protocol}.pkl", pickle.dumps(forest, protocol))
    for method in COMPRESSIONS:
        joblib.dump(forest, folder / f"c-{method}.joblib", compress=(method, 3))
        yield f"joblib {method}", folder / f"c-{method}.joblib"
    yield from _arrays(folder)
    for maker in (_torch, _safetensors, _xgboost, _lightgbm, _onnx):
        yield from maker(folder)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _estimator(folder: Path, name: str, fitted: Any) -> Iterator[tuple[str, Path]]:
    base = folder / name.replace(" ", "-")
    yield f"{name}, pickle", _written(base.with_suffix(".pkl"), pickle.dumps(fitted))
    joblib.dump(fitted, base.with_suffix(".joblib"))
    yield f"{name}, joblib", base.with_suffix(".joblib")
    skops.io.dump(fitted, base.with_suffix(".skops"))
    yield f"{name}, skops", base.with_suffix(".skops")


def _arrays(folder: Path) -> Iterator[tuple[str, Path]]:
    np.save(folder / "a.npy", X)
    np.save(folder / "f.npy", np.asfortranarray(X))
    np.save(folder / "r.npy", np.zeros(3, dtype=[("a", "<f4"), ("b", "<i8", (2,))]))
    np.savez(folder / "a.npz", X=X, Y=Y)
    np.savez_compressed(folder / "c.npz", X=X, Y=Y)
    yield from ((f"numpy {path}", folder / path) for path in ("a.npy", "f.npy", "r.npy", "a.npz", "c.npz"))
    state = {"rng": RNG, "legacy": np.random.RandomState(3), "scalar": np.float32(1), "text": np.array(["a", "bc"])}
    yield "numpy state, pickle", _written(folder / "state.pkl", pickle.dumps(state))


def _torch(folder: Path) -> Iterator[tuple[str, Path]]:
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    optimizer = torch.optim.Adam(net.parameters())
    torch.save(net.state_dict(), folder / "new.pt")
    torch.save(net.state_dict(), folder / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, folder / "checkpoint.pt")
    torch.save(
        {"half": torch.ones(3, dtype=torch.bfloat16), "view": torch.arange(12).reshape(3, 4).T}, folder / "views.pt"
    )
    torch.save(net, folder / "module.pt")
    torch.export.save(torch.export.export(net.eval(), (torch.zeros(2, 4),)), folder / "net.pt2")
    for path in ("new.pt", "old.pt", "checkpoint.pt", "views.pt", "module.pt", "net.pt2"):
        yield f"torch {path}", folder / path


def _safetensors(folder: Path) -> Iterator[tuple[str, Path]]:
    numpy_format = pytest.importorskip("safetensors.numpy")
    numpy_format.save_file({"a": X.astype(np.float32), "b": Y, "empty": np.zeros((0, 3))}, folder / "w.safetensors")
    yield "safetensors", folder / "w.safetensors"


def _xgboost(folder: Path) -> Iterator[tuple[str, Path]]:
    try:
        import xgboost
    except ImportError:
        return
    model = xgboost.XGBClassifier(n_estimators=3, max_depth=2).fit(X, Y)
    for suffix in ("json", "ubj"):
        model.save_model(folder / f"xgb.{suffix}")
        yield f"xgboost {suffix}", folder / f"xgb.{suffix}"
    yield "xgboost pickle", _written(folder / "xgb.pkl", pickle.dumps(model))


def _lightgbm(folder: Path) -> Iterator[tuple[str, Path]]:
    try:
        import lightgbm
    except ImportError:
        return
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(X, Y)
    model.booster_.save_model(folder / "lgb.txt")
    yield "lightgbm text", folder / "lgb.txt"
    yield "lightgbm pickle", _written(folder / "lgb.pkl", pickle.dumps(model))


def _onnx(folder: Path) -> Iterator[tuple[str, Path]]:
    try:
        import onnx
        import skl2onnx
    except ImportError:
        return
    for name in ("random forest", "logistic regression", "perceptron"):
        onnx.save(skl2onnx.to_onnx(ESTIMATORS[name](), X[:1].astype(np.float32)), folder / f"{name}.onnx")
        yield f"onnx {name}", folder / f"{name}.onnx"
