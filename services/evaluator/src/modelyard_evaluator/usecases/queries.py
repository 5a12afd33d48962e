"""Queries over evaluations."""

from collections.abc import Callable, Collection

from modelyard_evaluator.domain.evaluation import Evaluation
from modelyard_evaluator.domain.ports import Deps
from modelyard_runtime.paging import first_readable


def newest_readable(
    deps: Deps,
    model: str | None,
    limit: int,
    readable: Callable[[str], bool],
    *,
    versions: Collection[tuple[str, int]] = (),
) -> list[Evaluation]:
    """At most `limit` evaluations, newest first; of all models if `model` is None. readable: filters by model.

    versions: only evaluations of these challengers (model, version); of all without one.
    """
    with deps.storage.read() as evaluations:
        return first_readable(
            lambda rows, offset: evaluations.newest(model, rows, offset, versions=versions),
            lambda one: readable(one.model),
            limit,
        )
