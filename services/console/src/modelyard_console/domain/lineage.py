"""Where a version came from and where it went, as a graph from left to right."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from modelyard import EvaluationRun, RolloutRun, TrainingRun, VersionInfo
from modelyard_console.domain import links
from modelyard_console.domain.formats import percent, short_digest, words
from modelyard_console.domain.picture import BOX_HEIGHT, MARGIN, Box, Branch, Picture
from modelyard_contracts.manifest import ModelManifest

WIDTH: Final = 150
"""Six columns fit beside the navigation at 1,280 pixels."""
COLUMN: Final = WIDTH + 24
ROW: Final = BOX_HEIGHT + 16


def _box(column: int, row: int, title: str, text: str, link: str = "", *, chosen: bool = False) -> Box:
    """A box in a grid. column, row: from 0."""
    box = Box.of(MARGIN + column * COLUMN, MARGIN + row * ROW, title, (text,), link, chosen=chosen)
    return replace(box, width=WIDTH)


def _way(start: Box, end: Box) -> Branch:
    (x1, y1), (x2, y2) = start.right, end.left
    middle = (x1 + x2) // 2
    return Branch(d=f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}")


def lineage(
    version: VersionInfo,
    manifest: ModelManifest | None,
    runs: Iterable[TrainingRun],
    evaluations: Iterable[EvaluationRun],
    rollouts: Iterable[RolloutRun],
    share: float | None,
) -> Picture:
    """Dataset, run, version, evaluations, rollouts, live traffic. share: of the live requests; None without any."""
    own = links.version(version.model, version.version)
    centre = _box(2, 0, f"version {version.version}", words(version.stage), own, chosen=True)
    columns = [_origins(version, manifest, runs), _run(version, runs), [centre]]
    columns += [_judged(version, evaluations), _rolled_out(version, rollouts), _traffic(version, share)]
    ways: list[Branch] = []
    before: list[Box] = []
    for column in columns:
        ways += [_way(start, end) for start in before for end in column]
        before = column or before
    return Picture(tuple(box for column in columns for box in column), tuple(ways))


def _origins(version: VersionInfo, manifest: ModelManifest | None, runs: Iterable[TrainingRun]) -> list[Box]:
    run = _run_of(version, runs)
    digest = (manifest.training.dataset_digest if manifest else None) or (run.dataset_digest if run else None)
    return [_box(0, 0, "dataset", short_digest(digest))] if digest else []


def _run(version: VersionInfo, runs: Iterable[TrainingRun]) -> list[Box]:
    run = _run_of(version, runs)
    if run is not None:
        return [_box(1, 0, f"run, {words(run.trigger)}", words(run.state), links.run(run.run_id))]
    return [_box(1, 0, "run", version.run_id[:8], links.run(version.run_id))] if version.run_id else []


def _run_of(version: VersionInfo, runs: Iterable[TrainingRun]) -> TrainingRun | None:
    return next((run for run in runs if run.run_id == version.run_id), None)


def _judged(version: VersionInfo, evaluations: Iterable[EvaluationRun]) -> list[Box]:
    own = [one for one in evaluations if one.challenger_version == version.version][:4]
    return [
        _box(3, row, "evaluation", words(one.verdict or one.stage), links.evaluation(one.evaluation_id))
        for row, one in enumerate(own)
    ]


def _rolled_out(version: VersionInfo, rollouts: Iterable[RolloutRun]) -> list[Box]:
    own = [one for one in rollouts if one.to_version == version.version][:4]
    return [
        _box(
            4,
            row,
            "roll-back" if one.action == "roll_back" else "rollout",
            words(one.state),
            links.rollout(one.rollout_id),
        )
        for row, one in enumerate(own)
    ]


def _traffic(version: VersionInfo, share: float | None) -> list[Box]:
    return [_box(5, 0, "live traffic", f"{percent(share)} of requests", links.model(version.model))] if share else []
