"""Candidates of `text-classifier`: a logistic regression over tf-idf terms."""

from collections import Counter
from typing import Any, Final

import numpy as np

from modelyard_contracts.signature import Signature
from modelyard_flavours import FittedText, TermVectors, Vocabulary, without_unneeded
from modelyard_flavours.texts import terms
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.recipes.estimators import Fitted
from modelyard_trainer.worker.work import FloatArray, Rows

STRENGTHS: Final = {"weak": 10.0, "medium": 1.0, "strong": 0.1}
"""Inverse of the regularisation (`C` in scikit-learn)."""
ABSENT_BIAS: Final = -1e4
"""Log-odds of a class without training rows: its score is 0."""


def fit_text(name: str, parameters: Any, rows: Rows, signature: Signature) -> Fitted:
    """Fit one candidate. parameters: TextParameters; rows: the text is the only categorical feature."""
    with without_unneeded("sklearn"):
        from scipy.sparse import csr_matrix
        from sklearn.linear_model import LogisticRegression

    texts = rows.categorical[:, 0]
    vocabulary, idf = _vocabulary(texts, parameters)
    vectors = TermVectors(vocabulary, idf)
    parts = [vectors.of(text) for text in texts]
    starts = np.concatenate([[0], np.cumsum([len(places) for places, _ in parts])])
    places, values = (np.concatenate([part[n] for part in parts]) for n in (0, 1))
    matrix = csr_matrix((values, places, starts), shape=(len(texts), len(vocabulary)))
    model = LogisticRegression(C=STRENGTHS[name], max_iter=300).fit(matrix, rows.targets, sample_weight=rows.weights)
    weight, bias = _weights(model, len(signature.classes), len(vocabulary))
    return Fitted("text-linear", FittedText(idf, weight, bias, Vocabulary(terms=vocabulary, classes=signature.classes)))


def _vocabulary(texts: Any, parameters: Any) -> tuple[tuple[str, ...], FloatArray]:
    """The commonest terms, and idf = ln((1 + n) / (1 + document frequency)) + 1, as in scikit-learn."""
    counts = Counter(term for text in texts if text is not None for term in set(terms(text)))
    known = [(term, count) for term, count in counts.items() if count >= parameters.min_documents]
    known = sorted(known, key=lambda one: (-one[1], one[0]))[: parameters.max_terms]
    if not known:
        raise BadRequest(
            f"dataset: no word occurs in {parameters.min_documents} texts; lower min_documents or give more rows",
            field="dataset",
        )
    frequency = np.array([count for _, count in known], dtype=np.float64)
    return tuple(term for term, _ in known), np.log((1 + len(texts)) / (1 + frequency)) + 1


def _weights(model: Any, classes: int, width: int) -> tuple[FloatArray, FloatArray]:
    """Weights (classes, terms) and biases (classes,) of a softmax over all classes."""
    weight, bias = np.zeros((classes, width)), np.full(classes, ABSENT_BIAS)
    known = model.classes_
    if len(known) == 2:  # scikit-learn keeps one row for two classes
        weight[known[1]], bias[known[0]], bias[known[1]] = model.coef_[0], 0.0, model.intercept_[0]
    else:
        weight[known], bias[known] = model.coef_, model.intercept_
    return weight, bias
