"""`/predictions/{id}`: one answer, which version gave it, and how that version came to traffic."""

from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from modelyard import StoredPrediction
from modelyard_console.clients.platform import Part
from modelyard_console.domain import links
from modelyard_console.domain.labels import SOURCE, NoNumber, labelling, number_of
from modelyard_console.domain.origin import origin_of
from modelyard_console.pages.view import Console, Form, View
from modelyard_runtime.errors import Invalid

CHANGES: Final = 500
"""Newest changes of the model in which those of the version are looked up."""
NOTHING: Final[Part[Any]] = Part()


def add_predictions(app: FastAPI, console: Console) -> None:
    @app.get("/predictions/{prediction_id:path}", response_class=HTMLResponse)
    def one(
        prediction_id: str,
        view: Annotated[View, Depends(console.view("read", "prediction"))],
        model: Annotated[str, Query(max_length=256)] = "",
    ) -> Response:
        """Show a prediction with its labels and the origin of its version."""
        found = view.io.monitor(lambda monitor: monitor.prediction(prediction_id, model=model or None)).needed()
        return view.page("prediction.html", found=found, prediction=found[0], **_origin(view, found[0]))

    @app.post(links.LABELS, response_class=HTMLResponse)
    def label(form: Annotated[Form, Depends(console.form("feedback", "prediction", "any-workspace"))]) -> Response:
        """Send the true class or value of a prediction; its form is on the page of its answer and on its own."""
        prediction_id, model = form.required("prediction_id", "Prediction id"), form.required("model", "Model")
        truth = _truth(form)
        return form.do(
            lambda io: io.router.client.feedback(prediction_id, **truth, source=SOURCE, model=model),
            done=f"The label of prediction {prediction_id} was sent. Its page shows it once the monitor has stored it.",
            then=form.values.get("back", "/"),
        )


def _truth(form: Form) -> dict[str, Any]:
    """The label or the value; Invalid names the field."""
    if "label" in form.values:
        form.required("label", "True class")
        return {"label": form.values["label"]}  # as the signature has it: blanks belong to the name of a class
    try:
        return {"value": number_of(form.required("value", "True value"))}
    except NoNumber as error:
        raise Invalid(str(error), field="value") from error


def _origin(view: View, answer: StoredPrediction) -> dict[str, Any]:
    io, model, version = view.io, answer.model, answer.version
    known = io.registry(lambda registry: registry.version(model, version))
    manifest = io.registry(lambda registry: registry.manifest(model, version))
    changes = io.registry(lambda registry: registry.audit(model=model, limit=CHANGES).items)
    evaluations = io.evaluator(lambda evaluator: evaluator.evaluations(model, limit=200))
    rollouts = io.deployer(lambda deployer: deployer.rollouts(model, limit=200))
    run_id = known.part.found.run_id if known.part.found else None
    run = io.trainer(lambda trainer: trainer.run(run_id)) if run_id else None
    scores = answer.scores if isinstance(answer.scores, dict) else ()
    value = answer.score if answer.class_ is None else None
    lists = (changes.part.or_else(()), evaluations.part.or_else(()), rollouts.part.or_else(()))
    return {
        "labelling": labelling(answer.prediction_id, model, manifest.part.found, scores, value),
        "version": known.part,
        "manifest": manifest.part,
        "changes": changes.part,
        "evaluations": evaluations.part,
        "rollouts": rollouts.part,
        "run": run.part if run else NOTHING,
        "origin": origin_of(version, answer.occurred_at, *lists),
    }
