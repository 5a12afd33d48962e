"""Access rights on a Kafka that asks who connects."""

from typing import Annotated

import typer

from modelyard_cli.context import kafka_of_environment
from modelyard_cli.output import Form, FormOption, progress, reports_errors, show
from modelyard_cli.stack.layout import StackError
from modelyard_cli.verbs.dead_letters import ask_broker

app = typer.Typer(help="Access rights of the services on a secured Kafka.", no_args_is_help=True)
NAME = "{service}"


@app.callback()
def group() -> None:
    """Access rights of the services on a secured Kafka."""


@app.command("acls")
@reports_errors
def acls_(
    principal: Annotated[
        str, typer.Option(help=f"How the broker names a service; {NAME} stands for registry, router, ...")
    ] = f"User:{NAME}",
    apply: Annotated[bool, typer.Option("--apply", help="Add them to KAFKA_BOOTSTRAP_SERVERS, as its user.")] = False,
    output: FormOption = Form.TABLE,
) -> None:
    """Print the rights that the services need as commands of Kafka's own tool, or as JSON."""
    from modelyard_runtime.kafka.acl_setup import add_acls
    from modelyard_runtime.kafka.acls import acls, commands, documents

    if not principal.startswith("User:"):
        raise StackError(f"principal: {principal!r} must start with User:, such as User:{NAME} or User:CN={NAME}")
    rights = acls(principal=lambda service: principal.replace(NAME, service))
    if not apply:
        if output is Form.TABLE:  # for a shell: no line is wrapped
            typer.echo("\n".join(commands(rights)))
        else:
            show(output, documents(rights), str)
        return
    brokers = kafka_of_environment()
    with progress(f"adding {len(rights)} rights to Kafka at {brokers}"):
        count = ask_broker(add_acls(brokers, rights))
    show(output, {"added": count}, lambda: f"{count} access rights are set on Kafka at {brokers}")
