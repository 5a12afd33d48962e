"""`/routes/{route}/try`: send a request and see which version answered and why; or only explain, without a call."""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from modelyard import ApiError, Prediction, PublishedRoute, RoutedPrediction
from modelyard.router import Generation, Message
from modelyard_console.clients.platform import explained
from modelyard_console.domain.chats import CHAT, UnreadableChat, read_chat, write_chat
from modelyard_console.domain.examples import (
    MAX_FIELDS,
    ROW,
    FeatureValue,
    InputField,
    UnreadableValue,
    example_row,
    input_fields,
    read_json_row,
    read_row,
)
from modelyard_console.domain.labels import Labelling, labelling
from modelyard_console.domain.picture import Picture
from modelyard_console.domain.plan_picture import draw
from modelyard_console.domain.plan_tree import PlanNode, chosen_paths, read_plan
from modelyard_console.domain.request_facts import UnreadableHeader, read_headers
from modelyard_console.pages.view import Console, Form, View
from modelyard_contracts.signature import Task

FEATURE: Final = "feature:"
"""Begins the name of a field for an input column; columns may have any name."""


@dataclass(frozen=True)
class Trial:
    """A request as typed, and what came of it."""

    values: dict[str, str]
    errors: dict[str, str]
    problem: str = ""
    answer: RoutedPrediction | None = None
    text: Generation | None = None
    """The answer of a language model."""
    latency_ms: float = 0.0
    """As the console saw it."""
    explained: dict[str, Any] | None = None


def add_trying(app: FastAPI, console: Console) -> None:
    @app.get("/routes/{route}/try", response_class=HTMLResponse)
    def form_page(
        route: str, view: Annotated[View, Depends(console.view("read", "route", over="resource"))]
    ) -> Response:
        """A form with an example row."""
        found, fields, missing = _inputs(view, route)
        values = {FEATURE + field.name: field.example for field in fields[:MAX_FIELDS]} | {ROW: example_row(fields)}
        if _generates(view, found):
            values[CHAT] = ""
        return _page(view, found, fields, Trial(values, {}, missing))

    @app.post("/routes/{route}/try", response_class=HTMLResponse)
    def send(route: str, form: Annotated[Form, Depends(console.form("predict", "route"))]) -> Response:
        """Send the request; it counts as traffic."""
        return _tried(form, route, _predicted)

    @app.post("/routes/{route}/explain", response_class=HTMLResponse)
    def explain(route: str, form: Annotated[Form, Depends(console.form("explain", "route"))]) -> Response:
        """Show the attempts that the route would make; nothing is called."""
        return _tried(form, route, _explained)


def _tried(form: Form, route: str, attempt: Any) -> Response:
    view = form.view
    found, fields, missing = _inputs(view, route)
    trial = Trial({**form.values}, {}, missing)
    try:
        row = _row(form, fields)
        headers = read_headers(form.text("headers"))
        trial = attempt(view, route, row, headers, trial)
    except UnreadableValue as error:
        name = error.field if len(fields) > MAX_FIELDS else FEATURE + error.field
        trial = replace(trial, errors={name: error.problem})
    except UnreadableChat as error:
        trial = replace(trial, errors={CHAT: str(error)})
    except UnreadableHeader as error:
        trial = replace(trial, errors={"headers": str(error)})
    except ApiError as error:
        trial = _refused(trial, fields, error)
    return _page(view, found, fields, trial, 422 if trial.errors else 200)


def _row(form: Form, fields: tuple[InputField, ...]) -> dict[str, FeatureValue]:
    if len(fields) > MAX_FIELDS:
        return read_json_row(form.values.get(ROW, ""))
    return read_row(fields, {field.name: form.text(FEATURE + field.name) for field in fields})


def _predicted(view: View, route: str, row: dict[str, Any], headers: dict[str, str], trial: Trial) -> Trial:
    started = perf_counter()
    entity = trial.values.get("entity", "").strip() or None
    if CHAT in trial.values:
        answered = _chatted(view, route, row, entity, trial)
        return replace(answered, latency_ms=1000 * (perf_counter() - started))
    answer = view.io.router.client.predict_routed(route, row, entity_key=entity, headers=headers)
    return replace(trial, answer=answer, latency_ms=1000 * (perf_counter() - started))


def _chatted(view: View, route: str, row: dict[str, Any], entity: str | None, trial: Trial) -> Trial:
    """Ask a language model; the form then holds the conversation with its answer."""
    text = str(next(iter(row.values()), None) or "")
    earlier = read_chat(trial.values[CHAT])
    messages: list[Message] = [*earlier, {"role": "user", "content": text}]
    answer = view.io.router.client.generate(route, messages if earlier else text, entity_key=entity)
    messages.append({"role": "assistant", "content": answer.text})
    return replace(trial, text=answer, values={**trial.values, CHAT: write_chat(messages)})


def _explained(view: View, route: str, row: dict[str, Any], headers: dict[str, str], trial: Trial) -> Trial:
    entity = trial.values.get("entity", "").strip() or None
    facts = {"features": row, "headers": headers, **({"entity": entity} if entity else {})}
    return replace(trial, explained=view.io.router.client.explain(route, facts))


def _refused(trial: Trial, fields: tuple[InputField, ...], error: ApiError) -> Trial:
    """Show a refusal at its field, if the form has that field."""
    problem = explained(error)
    named = str(problem["field"] or "").removeprefix("features.")
    if any(field.name == named for field in fields):
        return replace(trial, errors={FEATURE + named: problem["detail"]})
    return replace(trial, problem=problem["detail"])


def _generates(view: View, route: PublishedRoute) -> bool:
    """Whether the version that answers most is a language model."""
    leaf = _leaf(route)
    if leaf is None or leaf.version is None:
        return False
    model, version = leaf.model, leaf.version
    found = view.io.registry(lambda registry: registry.manifest(model, version)).part.found
    return found is not None and found.task is Task.TEXT


def _leaf(route: PublishedRoute) -> PlanNode | None:
    tree = read_plan((route.plan or {}).get("root"))
    return next((one for one in tree.leaves() if one.version is not None), None) if tree else None


def _inputs(view: View, route: str) -> tuple[PublishedRoute, tuple[InputField, ...], str]:
    """The route, with its inputs as `inputs_of` finds them."""
    found = view.io.deployer(lambda deployer: deployer.route(route)).needed()
    return found, *inputs_of(view, found)


def inputs_of(view: View, route: PublishedRoute) -> tuple[tuple[InputField, ...], str]:
    """A field per input column of the version that answers most, or why there are none."""
    leaf = _leaf(route)
    if leaf is None or leaf.version is None:
        return (), route.problem or "No version answers on this route yet: approve and roll one out first."
    model, version = leaf.model, leaf.version
    manifest = view.io.registry(lambda registry: registry.manifest(model, version)).part
    if manifest.found is None:
        reason = manifest.away.reason if manifest.away else ""
        return (), f"The inputs of {model} v{version} are not known: {reason}"
    return input_fields(manifest.found), ""


def _page(
    view: View, route: PublishedRoute, fields: tuple[InputField, ...], trial: Trial, status: int = 200
) -> Response:
    return view.page(
        "route_try.html",
        status,
        route=route,
        fields=fields,
        trial=trial,
        prefix=FEATURE,
        whole=len(fields) > MAX_FIELDS,
        picture=_marked(route, trial),
        labelling=_labelling(view, trial.answer.prediction) if trial.answer else None,
    )


def _labelling(view: View, answer: Prediction) -> Labelling | None:
    manifest = view.io.registry(lambda registry: registry.manifest(answer.model, answer.version)).part.found
    return labelling(answer.prediction_id, answer.model, manifest, answer.scores or (), answer.value)


def _marked(route: PublishedRoute, trial: Trial) -> Picture | None:
    """The plan with the versions of an explanation marked."""
    tree = read_plan((route.plan or {}).get("root"))
    if trial.explained is None or tree is None:
        return None
    return draw(tree, chosen_paths(trial.explained))
