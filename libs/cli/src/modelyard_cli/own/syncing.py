"""modelyard sync: what differs from a registry of another product, and taking it over."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group

from modelyard import RegistryClient
from modelyard_cli.context import Platform
from modelyard_cli.outcomes import Exit
from modelyard_cli.output import Form, FormOption, complain, progress, reports_errors, rows, show
from modelyard_cli.own.options import Answers, Classes, Owner, SampleFile, described
from modelyard_cli.own.registering import UPLOAD_TIMEOUT_S
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.options import ColumnTypes, TargetColumn, TaskName
from modelyard_contracts.references import InvalidReference, Reference

if TYPE_CHECKING:
    from modelyard_own.sync import Difference, ForeignModel, Outcome

COLUMNS: Final = ("version", "what", "name", "state", "here", "there", "note")


class Source(StrEnum):
    """Products whose registries are known."""

    MLFLOW = "mlflow"
    SAGEMAKER = "sagemaker"
    AZUREML = "azureml"


@reports_errors
def sync(
    source: Annotated[Source, typer.Argument(help="Product of the other registry.")],
    address: Annotated[str, typer.Option("--from", help="Address of the server or workspace; for sagemaker a region.")],
    model: Annotated[str | None, typer.Option(help="Model there; all of them without it.")] = None,
    name: Annotated[str | None, typer.Option("--as", help="Name of --model here: NAME or WORKSPACE:NAME.")] = None,
    sample: SampleFile = None,
    target: TargetColumn = None,
    answers: Answers = None,
    task: TaskName = None,
    classes: Classes = None,
    column: ColumnTypes = None,
    owner: Owner = None,
    files_root: Annotated[
        Path | None, typer.Option(help="Folder of this machine from which files that the registry names may be read.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Take over what changed there; without it, list.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Compare with a registry of another product: versions, aliases, tags and descriptions, on both sides.

    With --apply, versions that are missing here are downloaded and registered like files of yours, and what changed
    there since the last time is set here. What a person changed here stays; if both sides changed, it is a conflict. No
    version is removed. Give --sample together with --model, unless MLflow's input examples are enough. Credentials:
    MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; those of boto3 for sagemaker;
    AZURE_ACCESS_TOKEN for azureml.

    Exit codes: 0 listed, or taken over; 1 a service refused or did not answer; 2 an option cannot be used; 4 there are
    conflicts, or versions that could not be registered.
    """
    from modelyard_own.sync import Product, Sync, opened

    _check_options(model, name, sample)
    stated, dialect = described(
        {"target": target, "answers": answers, "owner": owner},
        (sample, task, classes),
        (column, None, None),
        (",", ".", "utf-8"),
    )
    platform = Platform.find(data_dir)
    with ExitStack() as stack:
        registry = stack.enter_context(RegistryClient(platform.urls["registry"], platform.token, UPLOAD_TIMEOUT_S))
        foreign = stack.enter_context(opened(Product(source), address, os.environ, files_root))
        report = stack.enter_context(progress(f"comparing with {foreign.uri}"))
        found = []
        for there in foreign.models(model):
            here = name or there.name
            job = Sync(registry, foreign, here, data_dir / "cache" / "sync", report, stated, dialect)
            found.append(_compared(job, there, apply=apply))
    if not found and model is not None:
        raise StackError(f"--model {model}: {foreign.uri} has no such model")
    show(output, found, lambda: Group(*_tables(found)))
    _exit(found, apply=apply)


def _check_options(model: str | None, name: str | None, sample: Path | None) -> None:
    if model is None and (name is not None or sample is not None):
        raise StackError("--as and --sample are about one model; set --model as well")
    if sample is not None and not sample.is_file():
        raise StackError(f"--sample {sample}: no such file")


def _compared(job: Any, there: "ForeignModel", *, apply: bool) -> dict[str, Any]:
    """The differences of one model, and with `apply` what became of them."""
    from modelyard_own.sync import differences, read_here, synchronise

    try:
        Reference.parse(job.model)
    except InvalidReference as error:
        return {"model": there.name, "here": None, "problem": f"{error}; set --model and --as", "differences": []}
    outcomes = list(synchronise(job, there)) if apply else []
    left = list(differences(there, read_here(job.registry, job.foreign, there.name, job.model)))
    facts = [_fact(it) | {"done": False, "result": _result(it, outcomes)} for it in left]
    done = [_fact(it.difference) | {"done": True, "result": it.text} for it in outcomes if it.done]
    return {"model": there.name, "here": job.model, "problem": "", "differences": done + facts}


def _result(difference: "Difference", outcomes: "Sequence[Outcome]") -> str:
    return next((it.text for it in outcomes if not it.done and it.difference == difference), "")


def _fact(difference: "Difference") -> dict[str, Any]:
    facts = {name: getattr(difference, name) for name in COLUMNS}
    return facts | {"what": str(difference.what), "state": str(difference.state)}


def _tables(found: list[dict[str, Any]]) -> Iterator[Any]:
    for model in found:
        title = model["model"] if model["model"] == model["here"] else f"{model['model']}, here {model['here']}"
        if model["problem"]:
            yield f"{model['model']}: {model['problem']}"
        elif not model["differences"]:
            yield f"{title}: no differences"
        else:
            lines = [it | {"note": _note(it)} for it in model["differences"]]
            yield rows(title, COLUMNS, lines)
    if not found:
        yield "the registry has no models"


def _note(difference: dict[str, Any]) -> str:
    return "; ".join(text for text in (difference["result"], difference["note"]) if text)


def _exit(found: list[dict[str, Any]], *, apply: bool) -> None:
    facts = [it for model in found for it in model["differences"] if not it["done"]]
    conflicts = sum(it["state"] == "conflict" for it in facts)
    missing = sum(it["state"] == "missing here" for it in facts) if apply else 0
    unnamed = sum(bool(model["problem"]) for model in found)
    if conflicts:
        complain(f"{conflicts} conflicts: both sides changed; the values here stay until they are made equal")
    if missing:
        complain(f"{missing} versions could not be registered; see the notes")
    if conflicts or missing or unnamed:
        raise typer.Exit(Exit.NOT_ACCEPTED)
    if not apply and any(it["state"] in ("missing here", "changed there") for it in facts):
        complain("nothing was changed; set --apply to take over what is missing here or changed there")
