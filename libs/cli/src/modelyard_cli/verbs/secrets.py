"""modelyard secrets: rotate the secrets of a local stack, or in a file, without a restart."""

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from modelyard_cli.output import Form, FormOption, progress, reports_errors, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.credentials import SECRETS, SIGNING, CredentialFiles, new_key, replace_private
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, PROCESSES, SERVICES, StackError
from modelyard_cli.stack.signers import SignerFiles
from modelyard_contracts.keyring import InvalidKeyRing, KeyRing

app = typer.Typer(help="Rotate secrets and service keys.", no_args_is_help=True)
SETTLE_S: Final = 5.0
"""Longer than any service takes to read a changed file: all accept the new secret before one uses it."""
NAMES: Final = (
    *SECRETS,
    *(f"{spec.name}-key" for spec in PROCESSES),
    *(f"{spec.name}{SIGNING}" for spec in SERVICES),
)
TrustOption = Annotated[Path | None, typer.Option("--trust", help="Trust document, instead of the local stack's.")]
FileOption = Annotated[Path | None, typer.Option("--file", help="Key ring, instead of the local stack's.")]


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
    file: FileOption = None,
    trust: TrustOption = None,
    keep: Annotated[int, typer.Option(min=1, help="Secrets that stay accepted, the new one included.")] = 2,
    settle_s: Annotated[float, typer.Option(min=0, help="Seconds until every service has read the file.")] = SETTLE_S,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Replace a secret in two steps: all services accept the new one, then it is used. Old ones are dropped by --keep.

    A new `entity` secret changes the hashes of entities from then on. A service key is replaced at once; the registry
    accepts the old one for an hour, and the service uses the new one after its next start. `<service>-signing` replaces
    the key that signs a service's events; the trust document keeps the public halves of earlier ones, see `revoke`.
    """
    files = CredentialFiles(data_dir)
    if name.endswith(SIGNING):
        _rotate_signing(_signer(files, name.removesuffix(SIGNING), file, trust), keep, settle_s, output)
        return
    if name not in NAMES:
        raise StackError(f"secret: there is no {name!r}; use {', '.join(NAMES)}")
    if name not in SECRETS:
        service = name.removesuffix("-key")
        replace_private(file or files.service_key(service), f"{new_key()}\n")
        show(output, {"rotated": name}, lambda: f"{name}: replaced; restart the {service} within an hour")
        return
    ring = _rotated(file or files.secret(name), keep, settle_s)
    ids = [secret.id for secret in ring]
    accepted = f"{name}: secret {ids[0]} is current; accepted: {', '.join(ids)}"
    show(output, {"rotated": name, "ids": ids}, lambda: accepted)


@app.command("add-signer")
@reports_errors
def add_signer(
    name: Annotated[str, typer.Argument(help="Name of an upstream producer, such as `airflow`.")],
    topic: Annotated[list[str], typer.Option(help="Request topic that it may write; repeat for several.")],
    file: FileOption = None,
    trust: TrustOption = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Let an upstream producer request runs, evaluations or rollouts by events: make its key, and trust it."""
    signer = _signer(CredentialFiles(data_dir), name, file, trust)
    signer.add(tuple(topic))
    added = {"signer": name, "topics": topic, "key_file": str(signer.ring)}
    show(output, added, lambda: f"{name}: may sign events on {', '.join(topic)}; its private key is in {signer.ring}")


@app.command("revoke")
@reports_errors
def revoke(
    name: Annotated[str, typer.Argument(help="A signer: a service or an upstream producer.")],
    key: Annotated[str, typer.Argument(help="Id of the key that is no longer trusted.")],
    file: FileOption = None,
    trust: TrustOption = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Stop trusting a signing key, at once. Events that it signed are refused, also those that are in Kafka already."""
    _signer(CredentialFiles(data_dir), name, file, trust).revoke(key)
    show(output, {"signer": name, "revoked": key}, lambda: f"{name}: key {key} is no longer trusted")


def _signer(files: CredentialFiles, name: str, file: Path | None, trust: Path | None) -> SignerFiles:
    return SignerFiles(name, file or files.signing(name), trust or files.trust)


def _rotate_signing(signer: SignerFiles, keep: int, settle_s: float, output: Form) -> None:
    def wait(key_id: str) -> None:
        with progress(f"key {key_id} is trusted; it signs in {settle_s:g} s"):
            time.sleep(settle_s)

    ids = [secret.id for secret in signer.rotate(keep, wait)]
    rotated = {"rotated": f"{signer.name}{SIGNING}", "ids": ids}
    show(output, rotated, lambda: f"{signer.name}: events are signed with key {ids[0]}")


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
