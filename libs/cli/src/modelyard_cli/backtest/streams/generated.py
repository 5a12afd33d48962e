"""Streams of River's generators. Changes lie at fixed shares of the rows, so a shorter stream has the same changes."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard_cli.demo.data import Stream

NOISE: Final = 0.1
"""Share of SEA labels that are turned round."""


def sea(rows: int, seed: int, _: Path) -> Stream:
    """SEA concepts (Street and Kim 2001): the threshold changes after each quarter."""
    from river.datasets import synth

    quarters = [synth.SEA(variant, NOISE, seed + at) for at, variant in enumerate((0, 2, 3, 1))]
    return _classes(_joined(quarters, rows))


def sea_control(rows: int, seed: int, _: Path) -> Stream:
    """One SEA concept."""
    from river.datasets import synth

    return _classes(_joined([synth.SEA(0, NOISE, seed)], rows))


def agrawal(rows: int, seed: int, _: Path) -> Stream:
    """Agrawal et al. (1993): another rule after each third."""
    from river.datasets import synth

    thirds = [synth.Agrawal(rule, seed + at, perturbation=0.05) for at, rule in enumerate((0, 3, 6))]
    return _classes(_joined(thirds, rows))


def hyperplane(rows: int, seed: int, _: Path) -> Stream:
    """A plane in ten dimensions (Hulten et al. 2001); five of its weights move with every row."""
    from river.datasets import synth

    plane = synth.Hyperplane(seed, n_features=10, n_drift_features=5, mag_change=0.001, noise_percentage=0.05)
    return _classes(_joined([plane], rows))


def rbf(rows: int, seed: int, _: Path) -> Stream:
    """Gaussian clusters of four classes, whose centres move."""
    from river.datasets import synth

    clusters = synth.RandomRBFDrift(
        seed, seed + 1, n_classes=4, n_features=8, n_centroids=20, change_speed=0.001, n_drift_centroids=10
    )
    return _classes(_joined([clusters], rows))


def friedman(rows: int, seed: int, _: Path) -> Stream:
    """Friedman's function (Ikonomovska et al. 2011) with global abrupt changes: its inputs change places twice."""
    from river.datasets import synth

    changes = (rows // 3, 2 * rows // 3)
    return _values(_joined([synth.FriedmanDrift("gra", changes, transition_window=1, seed=seed)], rows))


def friedman_control(rows: int, seed: int, _: Path) -> Stream:
    """Friedman's function without change."""
    from river.datasets import synth

    return _values(_joined([synth.Friedman(seed)], rows))


Pairs = list[tuple[dict[Any, Any], Any]]


def _joined(parts: Sequence[Iterable[tuple[dict[Any, Any], Any]]], rows: int) -> Pairs:
    """Equal shares of each part, one after the other."""
    bounds = np.linspace(0, rows, len(parts) + 1).astype(int)
    return [pair for part, count in zip(parts, np.diff(bounds), strict=True) for pair in islice(part, int(count))]


def _classes(pairs: Pairs) -> Stream:
    labels = np.array([f"class {int(label)}" for _, label in pairs], dtype=object)
    return _stream(pairs, labels, tuple(sorted(set(labels))))


def _values(pairs: Pairs) -> Stream:
    return _stream(pairs, np.array([float(value) for _, value in pairs], dtype=object), ())


def _stream(pairs: Pairs, labels: Any, classes: tuple[str, ...]) -> Stream:
    names = list(pairs[0][0])
    numbers = np.array([[float(features[name]) for name in names] for features, _ in pairs])
    words = np.empty((len(pairs), 0), dtype=object)
    columns = tuple(name if isinstance(name, str) else f"x{name}" for name in names)
    return Stream("generated", "target", columns, (), numbers, words, labels, classes)
