"""Verbs of a caller of models: ask for a prediction, send a label."""

import json
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from modelyard.router import FeatureValue
from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, cell, reports_errors, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError

SHOWN_NUMBERS: Final = 6


@reports_errors
def predict(
    route: Annotated[str, typer.Argument(help="Route to ask; the own route of a model has its name.")],
    features: Annotated[
        list[str], typer.Argument(help="NAME=VALUE: a number, true, false, null or a text; '\"1\"' is the text 1.")
    ],
    entity_key: Annotated[str | None, typer.Option(help="Keeps a caller on one version.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Predict one row."""
    values = dict(feature(text) for text in features)
    found = Platform.find(data_dir).router.predict(route, values, entity_key=entity_key)
    answer = _vector(found.embedding) or (cell(found.value) if found.class_ is None else found.class_)
    score = "" if found.score is None else f" (score {found.score:.4g})"
    line = f"{answer}{score} by {found.model} version {found.version}, prediction {found.prediction_id}"
    show(output, found.model_dump(mode="json", by_alias=True), lambda: line)


@reports_errors
def feedback(
    prediction_id: Annotated[str, typer.Argument(help="Id that the prediction returned.")],
    label: Annotated[str | None, typer.Option(help="The true class.")] = None,
    value: Annotated[float | None, typer.Option(help="The true number of a regression.")] = None,
    model: Annotated[str | None, typer.Option(help="The model that predicted, if several share the id.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Send the label of one prediction."""
    if (label is None) == (value is None):
        raise StackError("give --label for a class or --value for a number")
    router = Platform.find(data_dir).router
    sent = router.feedback(prediction_id, label=label, value=value, source="command line", model=model)
    show(output, sent.model_dump(mode="json"), lambda: f"label of {prediction_id} accepted")


def _vector(values: Sequence[float]) -> str:
    """The first numbers of a vector; empty without one."""
    more = f", ... ({len(values)} numbers)" if len(values) > SHOWN_NUMBERS else ""
    return ", ".join(f"{value:.4g}" for value in values[:SHOWN_NUMBERS]) + more


def feature(text: str) -> tuple[str, FeatureValue]:
    """NAME=VALUE as a name and a JSON value; what is not JSON is a text."""
    name, found, value = text.partition("=")
    if not found or not name:
        raise StackError(f"{text!r}: write NAME=VALUE")
    try:
        parsed = json.loads(value)
    except ValueError:
        return name, value
    return name, parsed if isinstance(parsed, int | float | str | bool | None) else value
