"""Queries over evaluations."""

from collections.abc import Callable
from typing import Final

from modelyard_evaluator.domain.evaluation import Evaluation
from modelyard_evaluator.domain.ports import Deps

PAGE: Final = 500


def newest_readable(deps: Deps, model: str | None, limit: int, readable: Callable[[str], bool]) -> list[Evaluation]:
    """At most `limit` evaluations, newest first; of all models if `model` is None. readable: filters by model."""
    found: list[Evaluation] = []
    offset = 0
    with deps.storage.read() as evaluations:
        while len(found) < limit:
            page = evaluations.newest(model, PAGE, offset)
            found += [evaluation for evaluation in page if readable(evaluation.model)]
            offset += PAGE
            if len(page) < PAGE:
                break
    return found[:limit]
