"""Verbs of an operator; `add_to` registers all of them."""

from collections.abc import Callable

import typer

from modelyard_cli.verbs import (
    connections,
    dead_letters,
    kafka,
    keys,
    policies,
    reports,
    resources,
    routes,
    secrets,
    storage,
)
from modelyard_cli.verbs.bom import bom
from modelyard_cli.verbs.calls import feedback, predict
from modelyard_cli.verbs.comparison import diff
from modelyard_cli.verbs.console import console
from modelyard_cli.verbs.experiments import experiments
from modelyard_cli.verbs.learners import learners
from modelyard_cli.verbs.lists import alarms, drift, evaluations, history, models, rollouts, runs, timeline
from modelyard_cli.verbs.owners import owner
from modelyard_cli.verbs.releases import (
    abort,
    advance,
    approve,
    deploy,
    evaluate,
    hold,
    reject,
    resume,
    retire,
    rollback,
)
from modelyard_cli.verbs.texts import chat, generate
from modelyard_cli.verbs.votes import votes


def add_to(app: typer.Typer) -> None:
    """Register every verb and group."""
    lists = (models, runs, experiments, learners, evaluations, rollouts, votes, drift, alarms, timeline, history)
    moves = (evaluate, approve, reject, retire, deploy, advance, hold, resume, abort, rollback)
    texts = (predict, generate, chat, feedback)
    commands: tuple[Callable[..., None], ...] = (console, *texts, diff, bom, owner, *lists, *moves)
    for command in commands:
        app.command()(command)
    groups = {
        "policies": policies.app,
        "routes": routes.app,
        "prompts": resources.prompts,
        "datasets": resources.datasets,
        "blobs": storage.app,
        "reports": reports.app,
        "connections": connections.app,
        "keys": keys.app,
        "secrets": secrets.app,
        "dead-letters": dead_letters.app,
        "kafka": kafka.app,
    }
    for name, group in groups.items():
        app.add_typer(group, name=name)
