"""Raw outputs of a classifier as scores."""

import numpy as np

from modelyard_flavours.predictor import FloatArray


def to_scores(raw: FloatArray) -> FloatArray:
    """Log-odds to scores that add up to 1 per row.

    raw: shape (rows, outputs). One output is the log-odds of the last of two classes; more are a softmax.
    """
    if raw.shape[1] == 1:
        raw = np.concatenate([np.zeros_like(raw), raw], axis=1)
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    scores: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return scores
