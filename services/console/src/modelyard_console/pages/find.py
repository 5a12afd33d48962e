"""`/find?q=`: one field for everything; every owner is asked at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from modelyard import (
    DigestMatch,
    EvaluationRun,
    EventRecord,
    ModelPage,
    RecordedEvent,
    RolloutRun,
    StoredPrediction,
    TrainingRun,
)
from modelyard_console.clients.platform import Away, Pending, Services
from modelyard_console.domain import links
from modelyard_console.domain.finding import Hit, as_digest, as_uuid, only_hit
from modelyard_console.domain.formats import short_digest, words
from modelyard_console.pages.view import Console, View

MODELS: Final = 20


@dataclass(frozen=True)
class Tried:
    """One question to one service."""

    what: str
    pending: Pending[Any]
    hits: Callable[[Any], Iterable[Hit]]


def add_find(app: FastAPI, console: Console) -> None:
    @app.get("/find", response_class=HTMLResponse)
    def find(
        view: Annotated[View, Depends(console.view("read", "model"))],
        q: Annotated[str, Query(max_length=256)] = "",
    ) -> Response:
        """Open the only hit, or list all of them."""
        text = q.strip()
        tried = _asked(view.io, text) if text else []
        hits = [hit for one in tried if one.pending.part.found is not None for hit in one.hits(one.pending.part.found)]
        away = {part.service: part for one in tried if (part := _problem(one.pending)) is not None}
        hit = only_hit(hits)
        if hit is not None and not away:
            return RedirectResponse(hit.link, 303)
        return view.page("find.html", q=text, hits=hits, tried=[one.what for one in tried], away=list(away.values()))


def _asked(io: Services, text: str) -> list[Tried]:
    """Start all questions that fit the text."""
    models = io.registry(lambda registry: registry.search_models(text, limit=MODELS))
    prediction = io.monitor(lambda monitor: monitor.prediction(text))
    found = [
        Tried("a part of a model's name, description, owner or labels", models, lambda page: _models(page, text)),
        Tried("a prediction id", prediction, _predictions),
    ]
    if digest := as_digest(text):
        versions = io.registry(lambda registry: registry.find_digest(digest))
        found.append(Tried("the digest of a version or of a file", versions, _versions))
    return found + (_asked_by_id(io, id_) if (id_ := as_uuid(text)) else [])


def _asked_by_id(io: Services, id_: str) -> list[Tried]:
    run = io.trainer(lambda trainer: trainer.run(id_))
    evaluation = io.evaluator(lambda evaluator: evaluator.evaluation(id_))
    rollout = io.deployer(lambda deployer: deployer.rollout(id_))
    timeline = io.monitor(lambda monitor: monitor.timeline(id_))
    event = io.monitor(lambda monitor: monitor.event(id_))
    return [
        Tried("the id of a training run", run, _run),
        Tried("the id of an evaluation", evaluation, _evaluation),
        Tried("the id of a rollout", rollout, _rollout),
        Tried("the correlation id of a timeline", timeline, _timeline),
        Tried("the id of an event", event, _event),
    ]


def _hit(kind: str, title: str, text: str, link: str) -> Hit:
    return Hit(kind, title, text, link, exact=True)


def _models(page: ModelPage, text: str) -> Iterator[Hit]:
    for one in page.items:
        yield Hit("model", one.name, one.description, links.model(one.name), exact=one.name == text)


def _predictions(found: Sequence[StoredPrediction]) -> Iterator[Hit]:
    for one in found[:1]:
        title = f"{one.model} version {one.version}"
        yield Hit("prediction", title, words(one.status), links.prediction(one.prediction_id), exact=True)


def _versions(found: Iterable[DigestMatch]) -> Iterator[Hit]:
    for one in found:
        what = f"file {one.file}" if one.file else "manifest"
        title = f"{one.model} version {one.version}"
        link = links.version(one.model, one.version) if one.kind == "model" else links.timeline(one.correlation_id)
        yield Hit(f"{one.kind} version", title, f"{what}, {short_digest(one.digest)}", link)


def _run(run: TrainingRun) -> Iterator[Hit]:
    yield _hit("training run", run.model, words(run.state), links.run(run.run_id))


def _evaluation(one: EvaluationRun) -> Iterator[Hit]:
    title = f"{one.model} version {one.challenger_version}"
    yield _hit("evaluation", title, words(one.verdict or one.stage), links.evaluation(one.evaluation_id))


def _rollout(one: RolloutRun) -> Iterator[Hit]:
    yield _hit("rollout", f"{one.model} version {one.to_version}", words(one.state), links.rollout(one.rollout_id))


def _timeline(events: Sequence[RecordedEvent]) -> Iterator[Hit]:
    if events:
        link = links.timeline(events[0].correlation_id)
        yield _hit("timeline", events[0].model, f"{len(events)} events", link)


def _event(event: EventRecord) -> Iterator[Hit]:
    link = links.alarm(event.event_id) if event.alert else links.timeline(event.correlation_id)
    yield _hit("event", event.model, words(event.type or event.topic), link)


def _problem(pending: Pending[Any]) -> Away | None:
    """Why a service did not answer; None when it answered, also that it does not know the text."""
    away = pending.part.away
    return None if away is None or away.refused else away
