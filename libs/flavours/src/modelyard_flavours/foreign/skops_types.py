"""Types that a scikit-learn pipeline of others may hold, by exact name; the list is data, never read from an artifact.

`skops_types.json` holds scikit-learn's public estimators and the classes that their fitted objects are built of, each
with the way in which skops loads it. No function is among them: a pipeline that needs one is served by `python`.
After an upgrade of scikit-learn: `python -m modelyard_flavours.foreign.skops_types` prints the list again.
"""

import json
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

from modelyard_flavours.skops_check import described_nodes

Node = tuple[str, str]
"""Loader of skops and full name of the type."""
REFUSED_LOADERS: Final = frozenset(
    {"FunctionNode", "MethodNode", "PartialNode", "OperatorFuncNode", "ConstructorFromReduceNode"}
)
"""Loaders that call or name a function; never on the list."""


@cache
def trusted_nodes() -> frozenset[Node]:
    """The list."""
    stored = json.loads(files("modelyard_flavours.foreign").joinpath("skops_types.json").read_text())
    return frozenset((loader, name) for loader, names in stored.items() for name in names)


def _found() -> set[Node]:
    """Nodes of all public estimators: by name, and in fitted ones where they fit on a small table."""
    from sklearn.utils import all_estimators

    found: set[Node] = set()
    for _, kind in all_estimators():
        found.add(("ObjectNode", f"{kind.__module__}.{kind.__qualname__}"))
        found.update(node for node in _fitted_nodes(kind) if node[0] not in REFUSED_LOADERS)
    return found


def _fitted_nodes(kind: type[Any]) -> Iterator[Node]:
    import skops.io
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    features, labels = load_iris(return_X_y=True)
    try:
        estimator = kind() if "estimator" not in kind.__init__.__code__.co_varnames else kind(LogisticRegression())
        yield from described_nodes("model.skops", skops.io.dumps(estimator.fit(features[::3], labels[::3])))
    except Exception as error:  # it takes other arguments or data: its name alone is listed
        print(f"{kind.__name__}: {type(error).__name__}", file=sys.stderr)


def main() -> None:
    """Print the list as JSON."""
    warnings.simplefilter("ignore")
    nodes = sorted(_found() | trusted_nodes())
    loaders = sorted({loader for loader, _ in nodes})
    print(json.dumps({one: [name for loader, name in nodes if loader == one] for one in loaders}, indent=1))


if __name__ == "__main__":
    main()
