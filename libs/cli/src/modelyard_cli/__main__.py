"""The `modelyard` command."""

import signal

import typer

from modelyard_cli import dead_letters, verbs
from modelyard_cli.demo.command import demo
from modelyard_cli.stack.commands import down, status, up
from modelyard_cli.train import train

app = typer.Typer(
    name="modelyard",
    help="Event-driven model management: the local stack, the demo and every operator verb.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (up, down, status, demo, train):
    app.command()(command)
verbs.add_to(app)
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Entry point of the console script. SIGTERM is as good as Ctrl-C: what a command started is stopped."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
