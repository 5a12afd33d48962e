"""modelyard keys: API keys with roles per workspace."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from modelyard import ApiKeyInfo
from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, console, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_runtime.access import ROLES, SCOPES

app = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True)
KeyId = Annotated[str, typer.Argument(help="Id of the key, from `modelyard keys list`.")]


@app.command("create")
@reports_errors
def create(
    name: Annotated[str, typer.Argument(help="Identity of the holder; decisions are recorded under it.")],
    role: Annotated[
        list[str], typer.Option(help=f"WORKSPACE:ROLE; `*` is every workspace. Roles: {', '.join(ROLES)}.")
    ],
    scope: Annotated[
        list[str] | None, typer.Option(help=f"Narrow the roles to: {', '.join(SCOPES)}. Without it, all of them.")
    ] = None,
    expires_in_days: Annotated[float | None, typer.Option(min=0.001, help="Days until the key expires.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Create a key. It is printed once and cannot be read again."""
    expires = None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days)
    registry = Platform.find(data_dir).registry
    _created(output, registry.create_key(name, _roles(role), scopes=scope, expires_at=expires))


@app.command("list")
@reports_errors
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """List keys; their secrets are not stored."""
    found = [key.model_dump(mode="json", exclude={"key"}) for key in Platform.find(data_dir).registry.api_keys()]
    columns = ("id", "name", "kind", "roles", "scopes", "expires_at", "revoked_at")
    show(output, found, lambda: rows("keys", columns, found))


@app.command("rotate")
@reports_errors
def rotate(
    key_id: KeyId,
    grace_s: Annotated[int, typer.Option(min=0, help="Seconds for which the old key is still accepted.")] = 3_600,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Create a key that replaces another one, which expires after the grace period."""
    _created(output, Platform.find(data_dir).registry.rotate_key(key_id, grace_s=grace_s))


@app.command("revoke")
@reports_errors
def revoke(key_id: KeyId, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """Revoke a key; every service refuses it within 30 s."""
    Platform.find(data_dir).registry.revoke_key(key_id)
    show(output, {"revoked": key_id}, lambda: f"key {key_id} is revoked; services refuse it within 30 s")


def _created(output: Form, key: ApiKeyInfo) -> None:
    found: dict[str, Any] = key.model_dump(mode="json")
    show(output, found, lambda: str(key.key))
    if output is Form.TABLE and console.is_terminal:
        console.print(f"key {key.id} of {key.name}; it is not shown again", soft_wrap=True)


def _roles(texts: list[str]) -> dict[str, list[str]]:
    roles: dict[str, list[str]] = {}
    for text in texts:
        workspace, found, role = text.rpartition(":")
        if not found or role not in ROLES:
            raise StackError(f"--role {text}: write WORKSPACE:ROLE, with a role of {', '.join(ROLES)}")
        roles.setdefault(workspace, []).append(role)
    return roles
