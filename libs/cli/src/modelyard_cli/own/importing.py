"""modelyard import: a model of a hub, at one commit, is downloaded, verified, and registered like a model of yours."""

import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from modelyard_cli.output import Form, FormOption, progress, reports_errors, show
from modelyard_cli.own.options import (
    AllowCode,
    Answers,
    Base,
    CacheDir,
    Classes,
    DryRun,
    Excludes,
    Flavour,
    FlavourOptions,
    Includes,
    License,
    MaxSize,
    Owner,
    ReasonForCode,
    SampleFile,
    Semver,
    Tags,
    bytes_of,
    described,
)
from modelyard_cli.own.registering import complain_plainly, register_request
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.options import (
    ColumnTypes,
    Decimal,
    Encoding,
    Follow,
    ModelArgument,
    Separator,
    TargetColumn,
    TaskName,
)

if TYPE_CHECKING:
    from modelyard_own.hubs import Choice, Snapshot

MIB: Final = 1 << 20


class HubChoice(StrEnum):
    """Hubs as they are named on the command line."""

    HF = "hf"
    MODELSCOPE = "modelscope"


@reports_errors
def import_model(
    hub: Annotated[HubChoice, typer.Argument(help="Hub that has the model.")],
    repo: Annotated[str, typer.Argument(help="Repository: ORG/NAME.")],
    model: ModelArgument,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit; the main branch without it. The commit is recorded.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Address of a mirror; HF_ENDPOINT or MODELSCOPE_ENDPOINT without it.")
    ] = None,
    include: Includes = None,
    exclude: Excludes = None,
    max_size: MaxSize = "20GiB",
    cache: CacheDir = None,
    sample: SampleFile = None,
    task: TaskName = None,
    target: TargetColumn = None,
    answers: Answers = None,
    classes: Classes = None,
    column: ColumnTypes = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    encoding: Encoding = "utf-8",
    base: Base = None,
    flavour: Flavour = None,
    option: FlavourOptions = None,
    license: License = None,
    owner: Owner = None,
    semver: Semver = None,
    tag: Tags = None,
    allow_code: AllowCode = False,
    reason: ReasonForCode = "",
    dry_run: DryRun = False,
    follow: Follow = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Import a model of Hugging Face or ModelScope: download it at one commit, verify it, and register it.

    One copy of the weights is taken, safetensors where there are any; files that a version does not need are left out.
    --dry-run shows the files, their sizes and the licence, and downloads nothing. Run the same command again after an
    interruption: it continues. The token is in HF_TOKEN or MODELSCOPE_API_TOKEN.

    Exit codes: as of `register`; 1 also if the hub refused or did not answer.
    """
    from modelyard_own import Request
    from modelyard_own.hubs import SITES, Connection, HubName, check_repo, choose, download, hub_of

    stated, dialect = described(
        {
            "target": target,
            "answers": answers,
            "base": base,
            "flavour": flavour,
            "license": license,
            "owner": owner,
            "semver": semver,
        },
        (sample, task, classes),
        (column, option, tag),
        (separator, decimal, encoding),
    )
    check_repo(repo)
    _check_sample(sample)
    name, limit = HubName(hub), bytes_of("--max-size", max_size)
    with Connection(SITES[name].access(endpoint, os.environ)) as connection:
        site = hub_of(name, connection)
        snapshot = site.snapshot(repo, revision or SITES[name].revision)
        choice = choose(snapshot.files, include or (), exclude or ())
        for line in _lines(snapshot, choice, shown_left_out=dry_run):
            complain_plainly(line)
        _check_size(choice, limit)
        if dry_run:
            show(output, _document(model, snapshot, choice), lambda: "nothing was downloaded (--dry-run)")
            return
        with progress(f"downloading {repo}") as report:
            folder = download(site, snapshot, choice, cache or data_dir / "cache" / "hub", report)
    request = Request(folder, stated, dialect, code=allow_code, reason=reason, origin=snapshot.origin)
    register_request(request, model, dry_run=False, follow=follow, data_dir=data_dir, output=output)


def _check_sample(sample: Path | None) -> None:
    """Before gigabytes are downloaded."""
    if sample is not None and not sample.is_file():
        raise StackError(f"--sample {sample}: no such file")


def _check_size(choice: "Choice", limit: int) -> None:
    if choice.size_bytes > limit:
        raise StackError(
            f"--max-size: the files have {choice.size_bytes / MIB:,.1f} MiB, more than {limit / MIB:,.1f} MiB; raise "
            "it, or leave files out by --exclude"
        )


def _lines(snapshot: "Snapshot", choice: "Choice", *, shown_left_out: bool) -> Iterator[str]:
    """What is imported, for people."""
    origin = snapshot.origin
    yield f"source: {origin.uri} at {origin.revision}"
    gated = ", gated: its owner asks for an agreement" if origin.gated else ""
    yield f"licence: {origin.license or 'not stated'}{gated}"
    if origin.base_model:
        yield f"base model: {origin.base_model}"
    yield f"files: {len(choice.taken)} of {len(snapshot.files)}, {choice.size_bytes / MIB:,.1f} MiB"
    for file in choice.taken:
        yield f"  {file.path}: {file.size_bytes / MIB:,.2f} MiB, {file.digest[:19]}"
    if shown_left_out:
        for file, why in choice.left_out:
            yield f"  left out: {file.path}: {why}"


def _document(model: str, snapshot: "Snapshot", choice: "Choice") -> dict[str, Any]:
    """The same for programs."""
    origin = snapshot.origin
    return {
        "model": model,
        "source": {
            "kind": "hub",
            "uri": origin.uri,
            "revision": origin.revision,
            "license": origin.license,
            "gated": origin.gated,
            "base_model": origin.base_model,
        },
        "files": [{"path": it.path, "size_bytes": it.size_bytes, "digest": it.digest} for it in choice.taken],
        "left_out": [{"path": file.path, "reason": why} for file, why in choice.left_out],
        "size_bytes": choice.size_bytes,
    }
