"""Steps of the evaluator's tables, oldest first in `versions/`."""
