"""Verbs of an operator; `add_to` registers all of them."""

from collections.abc import Callable

import typer

from modelyard_cli.verbs import dead_letters, kafka, keys, policies, resources, routes, secrets
from modelyard_cli.verbs.learners import learners
from modelyard_cli.verbs.lists import drift, evaluations, history, models, rollouts, runs, timeline
from modelyard_cli.verbs.releases import abort, approve, deploy, evaluate, reject, retire, rollback
from modelyard_cli.verbs.votes import votes


def add_to(app: typer.Typer) -> None:
    """Register every verb and group."""
    lists = (models, runs, learners, evaluations, rollouts, votes, drift, timeline, history)
    moves = (evaluate, approve, reject, retire, deploy, abort, rollback)
    commands: tuple[Callable[..., None], ...] = (*lists, *moves)
    for command in commands:
        app.command()(command)
    groups = {
        "policies": policies.app,
        "routes": routes.app,
        "prompts": resources.prompts,
        "datasets": resources.datasets,
        "keys": keys.app,
        "secrets": secrets.app,
        "dead-letters": dead_letters.app,
        "kafka": kafka.app,
    }
    for name, group in groups.items():
        app.add_typer(group, name=name)
