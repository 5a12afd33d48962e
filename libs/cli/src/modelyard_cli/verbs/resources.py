"""modelyard prompts and datasets: register versions of resources other than models."""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError

prompts = typer.Typer(help="Register and list prompts.", no_args_is_help=True)
datasets = typer.Typer(help="Register and list datasets.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="NAME or WORKSPACE:NAME; created if it does not exist.")]


@prompts.command("register")
@reports_errors
def register_prompt(
    name: Name,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Text with variables, written {{name}}.")],
    description: Annotated[str, typer.Option(help="Description of this version.")] = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Register a version of a prompt. The same text again is the same version."""
    from modelyard_contracts.prompts import PromptManifest

    template = _text(file)
    variables = tuple(dict.fromkeys(re.findall(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}", template)))
    manifest = PromptManifest(prompt=name, template=template, variables=variables, description=description)
    _register("prompt", name, manifest.model_dump(mode="json"), data_dir, output)


@prompts.command("list")
@reports_errors
def list_prompt(name: Name, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """List the versions of a prompt."""
    _list("prompt", name, data_dir, output)


@datasets.command("register")
@reports_errors
def register_dataset(
    name: Name,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A parquet file.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Register a version of a dataset. The same file again is the same version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from modelyard_contracts.datasets import DatasetManifest
    from modelyard_contracts.manifest import FileEntry

    try:
        metadata = pq.read_metadata(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise StackError(f"{file}: not a parquet file: {error}") from error
    digest = Platform.find(data_dir).registry.put_blob(file)
    schema = metadata.schema.to_arrow_schema()
    manifest = DatasetManifest(
        dataset=name,
        files=(FileEntry(path=file.name, digest=digest, size_bytes=file.stat().st_size),),
        rows=metadata.num_rows,
        columns={field.name: str(field.type) for field in schema},
        source={"file": file.name},
    )
    _register("dataset", name, manifest.model_dump(mode="json"), data_dir, output)


@datasets.command("list")
@reports_errors
def list_dataset(name: Name, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """List the versions of a dataset."""
    _list("dataset", name, data_dir, output)


def _register(
    kind: Literal["prompt", "dataset"], name: str, manifest: dict[str, Any], data_dir: Path, output: Form
) -> None:
    registry = Platform.find(data_dir).registry
    registry.create_resource(kind, name)
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    key = hashlib.sha256(text.encode()).hexdigest()
    version = registry.register_document(kind, name, text, idempotency_key=key)
    show(output, version.model_dump(mode="json"), lambda: f"{kind} {name}: version {version.version}, {version.stage}")


def _list(kind: Literal["prompt", "dataset"], name: str, data_dir: Path, output: Form) -> None:
    found = [it.model_dump(mode="json") for it in Platform.find(data_dir).registry.versions_of(kind, name)]
    columns = ("version", "stage", "digest", "created_at", "created_by")
    show(output, found, lambda: rows(f"versions of {kind} {name}", columns, found))


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"cannot read {file}: {error}; save it as text in UTF-8") from error
