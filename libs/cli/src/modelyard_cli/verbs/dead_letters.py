"""Look at dead letters and send them again."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, console, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, SERVICES, StackError

if TYPE_CHECKING:
    from modelyard_runtime.brokers import Brokers

T = TypeVar("T")

app = typer.Typer(
    help="Messages that one reader could not cope with: list them, send them again.", no_args_is_help=True
)

Topic = Annotated[str, typer.Argument(help="The topic they were on.")]
Service = Annotated[str, typer.Argument(help="The reader that put them aside.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many, oldest first.")]


@app.command("list")
@reports_errors
def list_(
    topic: Topic,
    service: Service,
    limit: Limit = 100,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """List dead letters with their reasons."""
    items = _listed(data_dir, topic, service, limit)
    show(output, items, lambda: rows(f"dead letters of {topic} at {service}", COLUMNS, items))


@app.command()
@reports_errors
def resend(
    topic: Topic,
    service: Service,
    limit: Limit = 100,
    apply: Annotated[bool, typer.Option("--apply", help="Send. Without it, only list.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Send dead letters back to their topic."""
    from modelyard_runtime.kafka import resend_dead_letters

    if not apply:
        items = _listed(data_dir, topic, service, limit)
        answer = {"sent": 0, "dead_letters": items}
        show(output, answer, lambda: rows(f"dead letters of {topic} at {service}", COLUMNS, items))
        if output is Form.TABLE and items:
            console.print("nothing sent; add --apply to send them")
        return
    sent = ask_broker(resend_dead_letters(_kafka(data_dir, topic, service), topic, service, limit))
    show(output, {"sent": sent}, lambda: f"sent {sent} dead letters back to {topic}")


COLUMNS = ("partition", "offset", "reason")


def _listed(data_dir: Path, topic: str, service: str, limit: int) -> list[dict[str, Any]]:
    from modelyard_runtime.kafka import list_dead_letters

    found = ask_broker(list_dead_letters(_kafka(data_dir, topic, service), topic, service, limit))
    return [{"partition": it.partition, "offset": it.offset, "reason": it.reason} for it in found]


def _kafka(data_dir: Path, topic: str, service: str) -> "Brokers":
    """Where the broker is; StackError for names that cannot be: a slip must not look like an empty list."""
    from modelyard_contracts.topics import all_topics

    topics, services = [spec.name for spec in all_topics()], [spec.name for spec in SERVICES]
    if topic not in topics:
        raise StackError(f"topic: there is no {topic!r}; there are {', '.join(topics)}")
    if service not in services:
        raise StackError(f"service: there is no {service!r}; there are {', '.join(services)}")
    return Platform.find(data_dir).kafka


def ask_broker(question: Coroutine[Any, Any, T]) -> T:
    """Its answer; StackError when the broker has none."""
    from aiokafka.errors import KafkaError

    from modelyard_runtime.errors import ModelyardError

    try:
        return asyncio.run(question)
    except (ModelyardError, KafkaError, OSError) as error:
        raise StackError(f"the broker does not answer: {error or type(error).__name__}") from error
