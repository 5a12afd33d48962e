"""Verbs of a caller of language models: one answer to a text, or a chat."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import typer

from modelyard.router import BrokenStream, Message, RouterClient
from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, printable, reports_errors, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.calls import feature

Route = Annotated[str, typer.Argument(help="Route to ask; the own route of a model has its name.")]
System = Annotated[str | None, typer.Option(help="Message of the system before the text, such as how to answer.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--parameter", help="NAME=VALUE of the model, such as max_tokens=50; repeatable.")
]
Entity = Annotated[str | None, typer.Option("--entity-key", help="Keeps a caller on one version.")]
PROMPT: Final = "you: "


@reports_errors
def generate(
    route: Route,
    text: Annotated[str, typer.Argument(help="The text to answer.")],
    system: System = None,
    parameter: Parameters = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the pieces of the answer as they arrive.")] = False,
    entity_key: Entity = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Answer one text with a text."""
    prompt = text if system is None else [*_of_system(system), Message(role="user", content=text)]
    router, parameters = Platform.find(data_dir).router, _parameters(parameter)
    if stream:
        if output is not Form.TABLE:
            raise StackError("--stream prints text as it arrives; leave -o out")
        _print(router.generate_stream(route, prompt, parameters=parameters, entity_key=entity_key))
        return
    found = router.generate(route, prompt, parameters=parameters, entity_key=entity_key)
    tokens = (found.usage or {}).get("output_tokens")
    counted = "" if tokens is None else f"{tokens} tokens by "
    line = f"{found.text}\n({counted}{found.model} version {found.version}, {found.generation_id})"
    show(output, found.model_dump(mode="json"), lambda: line)


@reports_errors
def chat(
    route: Route,
    system: System = None,
    parameter: Parameters = None,
    entity_key: Entity = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Chat with a language model, one message per line; each request holds all messages before. Ends with the input."""
    router, parameters = Platform.find(data_dir).router, _parameters(parameter)
    messages = _of_system(system)
    while (line := _line()) is not None:
        if line.strip():
            messages.append(Message(role="user", content=line))
            messages.append(_answer(router, route, messages, parameters, entity_key))


def _answer(
    router: RouterClient, route: str, messages: Sequence[Message], parameters: dict[str, Any], entity_key: str | None
) -> Message:
    pieces = router.generate_stream(route, messages, parameters=parameters, entity_key=entity_key)
    return Message(role="assistant", content=_print(pieces))


def _print(pieces: Iterable[str]) -> str:
    """Print pieces as they arrive; StackError if the answer breaks off."""
    found = []
    try:
        for piece in pieces:
            typer.echo(printable(piece), nl=False)  # a model may write what moves the cursor
            found.append(piece)
    except BrokenStream as error:
        raise StackError(f"the answer broke off: {error}") from error
    finally:
        typer.echo()
    return "".join(found)


def _line() -> str | None:
    """One line of the input; None at its end."""
    try:
        return input(PROMPT)
    except EOFError:
        return None


def _of_system(text: str | None) -> list[Message]:
    return [] if text is None else [Message(role="system", content=text)]


def _parameters(texts: list[str] | None) -> dict[str, Any]:
    return dict(feature(one) for one in texts or ())
