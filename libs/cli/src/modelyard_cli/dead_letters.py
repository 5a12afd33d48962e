"""Look at dead letters and send them again."""

import asyncio
from typing import Annotated

import typer

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, console, rows, show, told
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR
from modelyard_runtime.kafka import list_dead_letters, resend_dead_letters

app = typer.Typer(
    help="Messages that one reader could not cope with: list them, send them again.", no_args_is_help=True
)

Topic = Annotated[str, typer.Argument(help="The topic they were on.")]
Service = Annotated[str, typer.Argument(help="The reader that put them aside.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many, oldest first.")]


@app.command("list")
@told
def list_(
    topic: Topic,
    service: Service,
    limit: Limit = 100,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """List dead letters with their reasons."""
    found = asyncio.run(list_dead_letters(Platform.find(data_dir).kafka_bootstrap, topic, service, limit))
    items = [{"partition": it.partition, "offset": it.offset, "reason": it.reason} for it in found]
    show(output, items, lambda: rows(f"dead letters of {topic} at {service}", ("partition", "offset", "reason"), items))


@app.command()
@told
def resend(
    topic: Topic,
    service: Service,
    limit: Limit = 100,
    apply: Annotated[bool, typer.Option("--apply", help="Send. Without it, only list.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Send dead letters back to their topic."""
    if not apply:
        list_(topic, service, limit, data_dir)
        console.print("nothing sent; add --apply to send them")
        return
    sent = asyncio.run(resend_dead_letters(Platform.find(data_dir).kafka_bootstrap, topic, service, limit))
    console.print(f"sent {sent} dead letters back to {topic}")
