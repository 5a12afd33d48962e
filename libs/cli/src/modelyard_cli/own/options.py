"""Options of `modelyard register`, and the facts that they state."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from modelyard_cli.stack.layout import StackError
from modelyard_cli.train import choices_of

if TYPE_CHECKING:
    from modelyard_contracts.tables.table import Dialect
    from modelyard_own import Description

SampleFile = Annotated[
    Path | None,
    typer.Option(help="CSV or Parquet file with rows as the model takes them; without it, sample.csv of the folder."),
]
Answers = Annotated[
    str | None,
    typer.Option(help="Column of the sample with the answers of the model; `answer` or `prediction` without it."),
]
Classes = Annotated[str | None, typer.Option(help="Names of the classes in the order of the scores: no,yes.")]
Base = Annotated[
    str | None,
    typer.Option(help="Registered version that a PEFT adapter was trained on: MODEL (its champion) or MODEL@VERSION."),
]
Flavour = Annotated[str | None, typer.Option(help="Flavour that serves the model, if its content does not tell.")]
ClassName = Annotated[
    str | None,
    typer.Option("--class", help="Class of the network of a state dict of torch: module:Class. Needs --allow-code."),
]
Arguments = Annotated[str | None, typer.Option(help="Arguments of --class as JSON: '{\"hidden\": 64}'.")]
FlavourOptions = Annotated[
    list[str] | None, typer.Option("--option", help="NAME=VALUE: how the flavour reads the files; repeatable.")
]
License = Annotated[str | None, typer.Option(help="SPDX identifier of the model's licence, such as Apache-2.0.")]
Owner = Annotated[str | None, typer.Option(help="Owner of a new model.")]
Semver = Annotated[str | None, typer.Option(help="Semantic version, such as 1.4.0; it never changes.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="NAME=VALUE: a tag of the version; repeatable.")]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Run Python code of the model, confined; needs a role that may allow it.")
]
ReasonForCode = Annotated[
    str, typer.Option("--reason", help="Reason for --allow-code or --connection; kept in the history.")
]
Image = Annotated[
    str | None, typer.Option(help="Container image instead of PATH: registry/name@sha256:DIGEST. Needs --allow-code.")
]
Api = Annotated[
    Path | None,
    typer.Option(help="YAML file with endpoint and prices of a model of a provider, instead of PATH."),
]
ConnectionName = Annotated[
    str | None,
    typer.Option("--connection", help="Connection to the provider of the model, instead of PATH. Needs --reason."),
]
ProviderModel = Annotated[
    str | None, typer.Option(help="Id of the model at the provider of --connection, such as gpt-4.1-mini.")
]
Dimension = Annotated[int | None, typer.Option(min=1, help="Numbers of a vector, with --task embedding.")]
Includes = Annotated[
    list[str] | None,
    typer.Option("--include", help="Files to take as well, such as `onnx/*`; repeatable."),
]
Excludes = Annotated[
    list[str] | None, typer.Option("--exclude", help="Files to leave out, such as `*.model`; repeatable.")
]
MaxSize = Annotated[str, typer.Option(help="Most bytes to download: a number with B, kB, MB, GB, KiB, MiB or GiB.")]
CacheDir = Annotated[
    Path | None, typer.Option("--cache", help="Folder of downloaded files; without it, cache/hub of the data folder.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Scan and show how it is read, without a platform.")]


def described(
    texts: Mapping[str, str | None],
    read: tuple[Path | None, str | None, str | None],
    lists: tuple[list[str] | None, list[str] | None, list[str] | None],
    dialect: tuple[str, str, str],
) -> "tuple[Description, Dialect]":
    """The facts of the options; StackError names one that cannot be used.

    texts: facts as they are given. read: sample, task and classes. lists: column types, options of the flavour and
    tags. dialect: separator, decimal sign and encoding of the sample.
    """
    from modelyard_contracts.signature import Task
    from modelyard_own import Description

    sample, task, classes = read
    columns, options, tags = lists
    elsewhere = Task(task) if task in (Task.TEXT, Task.EMBEDDING) else None  # of models that are made elsewhere only
    choices = choices_of(texts["target"], None, None if elsewhere else task, columns, *dialect)
    if choices.left_out:
        raise StackError(f"--column {min(choices.left_out)}=none: leave the column out of the sample's file")
    given: dict[str, Any] = {
        **texts,
        "task": elsewhere or choices.task,
        "sample": None if sample is None else str(sample),
        "classes": None if classes is None else tuple(name.strip() for name in classes.split(",")),
        "columns": dict(choices.types or {}) or None,
        "options": _pairs("--option", options),
        "tags": _pairs("--tag", tags),
    }
    return Description(**{name: value for name, value in given.items() if value is not None}), choices.dialect


def with_class(stated: "Description", class_: str | None, arguments: str | None) -> "Description":
    """The facts of a state dict of torch; StackError if the options contradict each other."""
    if class_ is None and arguments is None:
        return stated
    if class_ is None:
        raise StackError("--arguments: set --class as well, the class that they are for")
    if stated.flavour not in (None, "torch-state"):
        raise StackError(f"--class: is for the flavour torch-state, not {stated.flavour}; leave --flavour out")
    given = {"class": class_} | ({} if arguments is None else {"arguments": arguments})
    return stated.model_copy(update={"flavour": "torch-state", "options": {**stated.options, **given}})


def _pairs(option: str, texts: list[str] | None) -> dict[str, str] | None:
    if texts is None:
        return None
    parts = [text.partition("=") for text in texts]
    if wrong := [text for text, (name, found, _) in zip(texts, parts, strict=True) if not found or not name]:
        raise StackError(f"{option} {wrong[0]}: write NAME=VALUE")
    return {name: value for name, _, value in parts}


UNITS: Final = {
    unit: base**power
    for base, units in ((1_000, ("B", "kB", "MB", "GB", "TB")), (1_024, ("B", "KiB", "MiB", "GiB", "TiB")))
    for power, unit in enumerate(units)
}


def bytes_of(option: str, text: str) -> int:
    """A size such as `20GiB` in bytes; StackError names the units."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    if found is None or found[2] not in UNITS:
        raise StackError(f"{option} {text}: write a number with one of {', '.join(UNITS)}, such as 20GiB")
    return int(float(found[1]) * UNITS[found[2]])
