"""Report text about the evaluated rows: too few of them, their origin, those that were left out."""

from modelyard_contracts import Verdict
from modelyard_evaluator.domain.evaluation import EVER, Evaluation, RowSource
from modelyard_evaluator.domain.ports import RowCount
from modelyard_evaluator.domain.standards import explained
from modelyard_evaluator.domain.verdict import Judgement


def too_few_rows(evaluation: Evaluation, count: RowCount) -> Judgement:
    """Inconclusive, with the next step: missing evidence is never a pass."""
    kind = "labelled predictions" if evaluation.source is RowSource.LABELS else "held-out rows of the training dataset"
    reason = (
        f"Only {count.usable} usable {kind} are newer than the rows that the versions were trained on; "
        f"the gate needs {evaluation.policy.min_rows}."
    )
    next_step = (
        "Send labels for more predictions and evaluate again, train on a dataset with newer rows, or approve the "
        "version by hand."
    )
    return Judgement(Verdict.INCONCLUSIVE, (reason, *_left_out(count.unusable), next_step))


def with_rows(judgement: Judgement, evaluation: Evaluation) -> Judgement:
    """Add why the standard applies, the origin of the rows and those left out, where these are not the usual ones."""
    notes = (*_window(evaluation), *_left_out(evaluation.unusable_rows))
    if evaluation.since == EVER:
        notes = ("The challenger has learned from these rows: they show usable answers, not its quality.", *notes)
    if evaluation.source is RowSource.DATASET:
        notes = ("The rows are the held-out part of the challenger's training dataset.", *notes)
    return Judgement(judgement.verdict, (*judgement.reasons, *explained(evaluation), *notes))


def _window(evaluation: Evaluation) -> tuple[str, ...]:
    """Where the rows begin, if the champion's errors have a change point."""
    change = evaluation.alarm.change_point if evaluation.alarm else None
    if change is None or evaluation.since is None:
        return ()
    if evaluation.from_change:
        return (f"The rows begin at the change, {change:%Y-%m-%d %H:%M:%S} UTC.",)
    if change > evaluation.since:
        return (
            f"Rows from before the change count as well: fewer than {evaluation.policy.min_rows} rows after it have "
            "labels.",
        )
    return ()


def _left_out(unusable: int) -> tuple[str, ...]:
    if not unusable:
        return ()
    return (f"{unusable} labelled rows were left out: their label or number of features does not fit the signature.",)
