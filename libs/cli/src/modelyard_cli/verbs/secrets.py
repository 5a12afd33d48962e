"""modelyard secrets: rotate the secrets of a local stack, or in a file, without a restart."""

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from modelyard_cli.output import Form, FormOption, progress, reports_errors, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.credentials import SECRETS, CredentialFiles, new_key, replace_private
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, SERVICES, StackError
from modelyard_contracts.keyring import InvalidKeyRing, KeyRing

app = typer.Typer(help="Rotate secrets and service keys.", no_args_is_help=True)
SETTLE_S: Final = 5.0
"""Longer than any service takes to read a changed file: all accept the new secret before one uses it."""
NAMES: Final = (*SECRETS, *(f"{spec.name}-key" for spec in SERVICES))


@app.command("list")
@reports_errors
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """List the secrets with the ids that are accepted, the current one first."""
    files = CredentialFiles(data_dir)
    found = {name: [secret.id for secret in _read(files.secret(name))] for name in SECRETS}
    show(output, found, lambda: "\n".join(f"{name}: {', '.join(ids)}" for name, ids in found.items()))


@app.command("rotate")
@reports_errors
def rotate(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(NAMES)}.")],
    file: Annotated[Path | None, typer.Option(help="Key ring to rotate, instead of the local stack's.")] = None,
    keep: Annotated[int, typer.Option(min=1, help="Secrets that stay accepted, the new one included.")] = 2,
    settle_s: Annotated[float, typer.Option(min=0, help="Seconds until every service has read the file.")] = SETTLE_S,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Replace a secret in two steps: all services accept the new one, then it is used. Old ones are dropped by --keep.

    A new `entity` secret changes the hashes of entities from then on. A service key is replaced at once; the registry
    accepts the old one for an hour, and the service uses the new one after its next start.
    """
    if name not in NAMES:
        raise StackError(f"secret: there is no {name!r}; use {', '.join(NAMES)}")
    files = CredentialFiles(data_dir)
    if name not in SECRETS:
        service = name.removesuffix("-key")
        replace_private(file or files.service_key(service), f"{new_key()}\n")
        show(output, {"rotated": name}, lambda: f"{name}: replaced; restart the {service} within an hour")
        return
    ring = _rotated(file or files.secret(name), keep, settle_s)
    ids = [secret.id for secret in ring]
    accepted = f"{name}: secret {ids[0]} is current; accepted: {', '.join(ids)}"
    show(output, {"rotated": name, "ids": ids}, lambda: accepted)


def _rotated(path: Path, keep: int, settle_s: float) -> KeyRing:
    added = _read(path).with_new()
    new = added.secrets[-1]
    replace_private(path, added.text())
    with progress(f"secret {new.id} is added; it becomes current in {settle_s:g} s"):
        time.sleep(settle_s)
    ring = added.with_current(new.id).only(keep)
    replace_private(path, ring.text())
    return ring


def _read(path: Path) -> KeyRing:
    try:
        return KeyRing.parse(path.read_text())
    except OSError as error:
        raise StackError(f"cannot read {path}: {error.strerror}; name the folder of the stack by --data-dir") from error
    except InvalidKeyRing as error:
        raise StackError(f"{path}: {error}") from error
