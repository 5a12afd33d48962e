"""One version, versions side by side, and where a version came from."""

from functools import partial
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from modelyard import RegistryClient, TrafficOverTime, VersionInfo
from modelyard_console.domain import links
from modelyard_console.domain.comparison import compare, measured, scale_of
from modelyard_console.domain.evaluations import ends_of
from modelyard_console.domain.lineage import lineage
from modelyard_console.domain.traffic import versions_now
from modelyard_console.pages.view import Console, Form, View
from modelyard_contracts.external import connection_of
from modelyard_contracts.manifest import ManifestFile
from modelyard_runtime.errors import Invalid

MAX_COMPARED: Final = 6
DECISIONS: Final = ("approve", "reject", "retire")


def add_versions(app: FastAPI, console: Console) -> None:
    _add_compare(app, console)
    _add_lineage(app, console)
    _add_version(app, console)
    _add_decisions(app, console)


def _add_version(app: FastAPI, console: Console) -> None:
    @app.get("/models/{model}/versions/{version}", response_class=HTMLResponse)
    def one_version(
        model: str, version: int, view: Annotated[View, Depends(console.view("read", "model", over="resource"))]
    ) -> Response:
        """Show a version: metrics, signature, files, origin, evaluations, card."""
        io = view.io
        info = io.registry(lambda registry: registry.version(model, version))
        manifest = io.registry(lambda registry: registry.manifest_file(model, version))
        card = io.registry(lambda registry: registry.card(model, version))
        scan = io.registry(lambda registry: registry.scan(model, version))
        resemblance = io.registry(lambda registry: registry.resemblance(model, version))
        history = io.registry(lambda registry: registry.history(model))
        evaluations = io.evaluator(lambda evaluator: evaluator.evaluations(model, limit=50))
        rollouts = io.deployer(lambda deployer: deployer.rollouts(model, limit=50))
        file = manifest.part.found
        return view.page(
            "version.html",
            version=info.needed(),
            connection=connection_of(file.manifest) if file else None,
            manifest=manifest.part,
            card=card.part,
            scan=scan.part,
            resemblance=resemblance.part,
            history=[one for one in history.part.or_else(()) if one.version == version],
            evaluations=[one for one in evaluations.part.or_else(()) if one.challenger_version == version],
            rollouts=[one for one in rollouts.part.or_else(()) if one.to_version == version],
        )


def _add_compare(app: FastAPI, console: Console) -> None:
    @app.get("/models/{model}/compare", response_class=HTMLResponse)
    def compare_versions(
        model: str,
        view: Annotated[View, Depends(console.view("read", "model", over="resource"))],
        version: Annotated[list[int] | None, Query(max_length=MAX_COMPARED)] = None,
    ) -> Response:
        """Show versions side by side: the newest two without a choice."""
        known = view.io.registry(lambda registry: registry.versions(model)).needed()
        chosen = _chosen(model, known, version or [])
        files = [view.io.registry(partial(_manifest, model, one.version)) for one in chosen]
        evaluations = view.io.evaluator(lambda evaluator: evaluator.evaluations(model, limit=200))
        manifests = [file.part.found.manifest if file.part.found else None for file in files]
        pair = [one.version for one in chosen[:2]]
        diff = view.io.registry(lambda registry: registry.diff(model, *pair)) if len(pair) > 1 else None
        found = measured(evaluations.part.or_else(()), [one.version for one in chosen])
        return view.page(
            "compare.html",
            model=model,
            chosen=chosen,
            known=known,
            groups=compare(chosen, manifests),
            measured=found,
            scale=scale_of(ends_of(found)),
            evaluations=evaluations.part,
            diff=diff.part if diff else None,
        )


def _manifest(model: str, version: int, registry: RegistryClient) -> ManifestFile:
    return registry.manifest_file(model, version)


def _chosen(model: str, known: tuple[VersionInfo, ...], numbers: list[int]) -> list[VersionInfo]:
    if not numbers:
        return list(known[-2:])
    by_number = {one.version: one for one in known}
    if missing := [number for number in numbers if number not in by_number]:
        raise Invalid(f"version: {model} has no version {missing[0]}; its newest is {len(known)}", field="version")
    return [by_number[number] for number in dict.fromkeys(numbers)]


def _add_lineage(app: FastAPI, console: Console) -> None:
    @app.get("/models/{model}/lineage", response_class=HTMLResponse)
    def show_lineage(
        model: str,
        view: Annotated[View, Depends(console.view("read", "model", over="resource"))],
        version: Annotated[int | None, Query(ge=1)] = None,
    ) -> Response:
        """Show where a version came from and where it went; without a number the champion."""
        io = view.io
        info = io.registry(lambda registry: registry.model(model))
        known = io.registry(lambda registry: registry.versions(model))
        runs = io.trainer(lambda trainer: trainer.runs(model, limit=200))
        evaluations = io.evaluator(lambda evaluator: evaluator.evaluations(model, limit=200))
        rollouts = io.deployer(lambda deployer: deployer.rollouts(model, limit=200))
        traffic = io.monitor(lambda monitor: monitor.traffic_over_time(model))
        versions = known.needed()
        number = version or info.needed().aliases.get("champion") or len(versions)
        chosen = _chosen(model, versions, [number])[0] if versions else None
        picture = None
        if chosen is not None:
            file = io.registry(lambda registry: registry.manifest_file(model, chosen.version)).part.found
            served = versions_now(traffic.part.or_else(TrafficOverTime(model=model, bucket_s=60, items=())))
            picture = lineage(
                chosen,
                file.manifest if file else None,
                runs.part.or_else(()),
                evaluations.part.or_else(()),
                rollouts.part.or_else(()),
                served[chosen.version].share if chosen.version in served else None,
            )
        away = [one.part for one in (runs, evaluations, rollouts, traffic) if one.part.away]
        return view.page(
            "lineage.html", model=info.needed(), versions=versions, chosen=chosen, picture=picture, away=away
        )


def _add_decisions(app: FastAPI, console: Console) -> None:
    def add(decision: str) -> None:
        @app.post(f"/models/{{model}}/versions/{{version}}/{decision}", response_class=HTMLResponse, name=decision)
        def decide(
            model: str, version: int, form: Annotated[Form, Depends(console.form(decision, "model"))]
        ) -> Response:
            """Decide about a version, with a reason."""
            reason = form.required("reason", "Reason")
            past = {"approve": "approved", "reject": "rejected", "retire": "retired"}[decision]
            return form.do(
                lambda io: getattr(io.registry.client, decision)(model, version, reason),
                done=f"Version {version} of {model} is {past}.",
                then=form.text("back") or links.version(model, version),
            )

    for decision in DECISIONS:
        add(decision)

    @app.post("/models/{model}/versions/{version}/deploy", response_class=HTMLResponse)
    def deploy(model: str, version: int, form: Annotated[Form, Depends(console.form("start", "rollout"))]) -> Response:
        """Roll a version out by the model's policy."""
        reason = form.required("reason", "Reason")
        return form.do(
            lambda io: io.deployer.client.start_rollout(model, version, reason=reason),
            done=f"The rollout of version {version} of {model} has started.",
            then=links.model(model),
        )
