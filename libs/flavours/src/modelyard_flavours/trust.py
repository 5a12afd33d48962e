"""Types that a skops file may hold, by exact name; the list is kept here and never read from the artifact.

skops has its own list (every scikit-learn estimator and much of numpy and scipy). This one is narrower and covers every
node of the file, so that neither an unused type nor an unused way of building one is accepted.
"""

from typing import Final

_FOREST: Final = "sklearn.ensemble._forest"
_BOOSTING: Final = "sklearn.ensemble._hist_gradient_boosting"

TRUSTED_NODES: Final[frozenset[tuple[str, str]]] = frozenset(
    {
        # (skops loader, full name of the type)
        ("DictNode", "builtins.dict"),
        ("ListNode", "builtins.list"),
        ("TupleNode", "builtins.tuple"),
        ("JsonNode", "builtins.str"),
        ("TypeNode", "builtins.str"),
        ("DTypeNode", "numpy.dtype"),
        ("NdArrayNode", "numpy.ndarray"),
        ("NdArrayNode", "numpy.float64"),
        ("NdArrayNode", "numpy.float32"),
        ("NdArrayNode", "numpy.int64"),
        ("NdArrayNode", "numpy.int32"),
        ("NdArrayNode", "numpy.uint64"),
        ("NdArrayNode", "numpy.bool"),
        ("RandomGeneratorNode", "numpy.random._generator.Generator"),
        ("ObjectNode", "sklearn.pipeline.Pipeline"),
        ("ObjectNode", "sklearn.impute._base.SimpleImputer"),
        ("ObjectNode", "sklearn.preprocessing._data.StandardScaler"),
        ("ObjectNode", "sklearn.preprocessing._label.LabelEncoder"),
        ("ObjectNode", "sklearn.linear_model._logistic.LogisticRegression"),
        ("ObjectNode", "sklearn.linear_model._ridge.Ridge"),
        ("ObjectNode", f"{_FOREST}.ExtraTreesRegressor"),
        ("ObjectNode", f"{_FOREST}.RandomForestRegressor"),
        ("ObjectNode", "sklearn.tree._classes.ExtraTreeRegressor"),
        ("ObjectNode", "sklearn.tree._classes.DecisionTreeRegressor"),
        ("ObjectNode", f"{_BOOSTING}.gradient_boosting.HistGradientBoostingRegressor"),
        ("ObjectNode", "sklearn._loss.loss.HalfSquaredError"),
        ("ObjectNode", "sklearn._loss.link.IdentityLink"),
        ("LossNode", "sklearn._loss._loss.CyHalfSquaredError"),
        ("ObjectNode", f"{_FOREST}.ExtraTreesClassifier"),
        ("ObjectNode", f"{_FOREST}.RandomForestClassifier"),
        ("ObjectNode", "sklearn.tree._classes.ExtraTreeClassifier"),
        ("ObjectNode", "sklearn.tree._classes.DecisionTreeClassifier"),
        ("TreeNode", "sklearn.tree._tree.Tree"),
        ("ObjectNode", f"{_BOOSTING}.gradient_boosting.HistGradientBoostingClassifier"),
        ("ObjectNode", f"{_BOOSTING}.predictor.TreePredictor"),
        ("ObjectNode", f"{_BOOSTING}.binning._BinMapper"),
        ("ObjectNode", "sklearn._loss.loss.HalfBinomialLoss"),
        ("ObjectNode", "sklearn._loss.loss.HalfMultinomialLoss"),
        ("ObjectNode", "sklearn._loss.link.LogitLink"),
        ("ObjectNode", "sklearn._loss.link.MultinomialLogit"),
        ("ObjectNode", "sklearn._loss.link.Interval"),
        ("LossNode", "sklearn._loss._loss.CyHalfBinomialLoss"),
        ("LossNode", "sklearn._loss._loss.CyHalfMultinomialLoss"),
    }
)

TRUSTED_TYPES: Final[frozenset[str]] = frozenset(name for _, name in TRUSTED_NODES)
"""The names as skops takes them; it accepts its own defaults by itself."""
