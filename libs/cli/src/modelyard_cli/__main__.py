"""The `modelyard` command."""

import signal
from importlib.metadata import version
from typing import Annotated

import typer

from modelyard_cli import verbs
from modelyard_cli.backtest.verb import backtest
from modelyard_cli.demo.verb import demo
from modelyard_cli.demo_own.verb import demo_own
from modelyard_cli.own.importing import import_model
from modelyard_cli.own.registering import register
from modelyard_cli.own.scanning import scan
from modelyard_cli.own.syncing import sync
from modelyard_cli.stack.commands import down, status, up
from modelyard_cli.train import train


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"modelyard {version('modelyard-cli')}")
        raise typer.Exit


app = typer.Typer(
    name="modelyard",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def root(
    _: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Event-driven model management: the local stack, the demo, and the verbs of an operator."""


for command in (up, down, status, demo, demo_own, backtest, train, register, scan, sync):
    app.command()(command)
app.command("import")(import_model)
verbs.add_to(app)


def main() -> None:
    """Entry point of the console script. SIGTERM acts like Ctrl-C, so that started processes are stopped."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
