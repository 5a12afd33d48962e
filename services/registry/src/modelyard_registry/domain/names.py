"""Names: resources, aliases, digests, semver labels, identities."""

import re
from typing import Final

from modelyard_contracts.references import InvalidReference, Reference
from modelyard_registry.domain.values import ResourceKey
from modelyard_runtime.errors import Invalid

CHAMPION: Final = "champion"
"""The version that serves; rollouts move it."""
CHALLENGER: Final = "challenger"
"""The version that gets part of the traffic while a canary runs."""
MODEL: Final = "model"
CONNECTION: Final = "connection"
"""Kind of the resource that a connection to a provider is."""
WORKSPACE: Final = "workspace"
"""Kind of the resource that carries a workspace's history."""
DIGEST: Final = r"^sha256:[0-9a-f]{64}$"
IDENTITY: Final = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$"
RESERVED_IDENTITIES: Final = frozenset(
    {"bootstrap-admin", "gate", "registry", "trainer", "evaluator", "deployer", "router", "monitor", "console"}
)
"""Identities that the platform writes into histories; no person may use them."""
SEMVER: Final = (
    r"^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})"
    r"(-[0-9A-Za-z-]{1,64}(\.[0-9A-Za-z-]{1,64}){0,8})?(\+[0-9A-Za-z-]{1,64}(\.[0-9A-Za-z-]{1,64}){0,8})?$"
)
_ALIAS: Final = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_RESERVED: Final = re.compile(r"latest|v[0-9]+")


def key_of(kind: str, reference: str, *, field: str = "name") -> ResourceKey:
    """The resource that a reference names; Invalid names `field`."""
    try:
        found = Reference.parse(reference)
    except InvalidReference as error:
        raise Invalid(str(error), field=field) from error
    return ResourceKey(found.workspace, kind, found.name)


def model_key(reference: str) -> ResourceKey:
    """The model of an event."""
    return key_of(MODEL, reference, field=MODEL)


def workspace_key(workspace: str) -> ResourceKey:
    """The resource that carries the history of a workspace."""
    return ResourceKey(workspace, WORKSPACE, workspace)


def check_alias(alias: str) -> str:
    """Return the alias; Invalid when it is malformed or reserved."""
    if not _ALIAS.fullmatch(alias):
        raise Invalid(
            f"alias {alias[:80]!r}: use a lower-case letter, then at most 63 lower-case letters, digits, '.', '_', '-'",
            field="alias",
        )
    if _RESERVED.fullmatch(alias):
        raise Invalid(f"alias {alias!r} is reserved (latest, v1, v2, ...); take another name", field="alias")
    return alias


def check_digest(digest: str) -> str:
    """Return the digest; Invalid when it is malformed."""
    if not re.fullmatch(DIGEST, digest):
        raise Invalid(f"digest {digest[:80]!r}: write sha256: and 64 hexadecimal digits", field="digest")
    return digest


def check_identity(identity: str) -> str:
    """Return the identity of a new key; Invalid when it is malformed or reserved."""
    if not re.fullmatch(IDENTITY, identity) or identity.endswith("\n"):
        raise Invalid(
            f"name {identity[:80]!r}: use letters, digits, '.', '_', '@' and '-', at most 128 of them", field="name"
        )
    if identity.lower() in RESERVED_IDENTITIES:
        raise Invalid(f"name {identity!r} is reserved for the platform; take another name", field="name")
    return identity
