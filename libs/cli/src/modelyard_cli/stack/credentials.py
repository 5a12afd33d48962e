"""Keys and secrets of a local stack: one file each, readable by their owner only, made once and then kept."""

import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard_contracts.documents import write
from modelyard_contracts.keyring import KeyRing
from modelyard_contracts.trust import Signer, TrustDocument
from modelyard_runtime.signing import public_keys_of

SECRETS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "key-hash": ("REGISTRY_KEY_HASH_SECRET_FILE", ("registry",)),
    "entity": ("ROUTER_ENTITY_SECRET_FILE", ("router",)),
    "serving": ("SERVING_TOKEN_FILE", ("deployer", "router")),
    "monitor-state": ("MONITOR_STATE_SECRET_FILE", ("monitor",)),
}
"""Name of a secret to the variable that names its file, and the services that get it."""
SIGNING: Final = "-signing"
"""`<service>-signing` names the key ring that signs a service's events."""


@dataclass(frozen=True)
class CredentialFiles:
    """The files below the folder of a stack."""

    root: Path

    @property
    def admin_key(self) -> Path:
        return self.root / "admin.key"

    @property
    def service_keys(self) -> Path:
        """Folder with `<service>.key`, which the registry reads."""
        return self.root / "keys"

    def service_key(self, service: str) -> Path:
        return self.service_keys / f"{service}.key"

    def secret(self, name: str) -> Path:
        """Key ring with one of SECRETS."""
        return self.root / "secrets" / f"{name}.keys"

    def signing(self, signer: str) -> Path:
        """Key ring with the private keys of a signer of events."""
        return self.root / "signing" / f"{signer}.keys"

    @property
    def trust(self) -> Path:
        """The trust document: the public keys of all signers."""
        return self.root / "trust.json"

    def create(self, services: tuple[str, ...], signers: tuple[str, ...]) -> None:
        """Create the files that are missing. OSError when the disk refuses.

        services: get a key for calls. signers: those of them that write events, and sign them.
        """
        for folder in (self.service_keys, self.root / "secrets", self.root / "signing"):
            folder.mkdir(mode=0o700, exist_ok=True)
        create_once(self.admin_key, f"my_admin_{secrets.token_urlsafe(32)}\n")
        for service in services:
            create_once(self.service_key(service), f"{new_key()}\n")
        for name in SECRETS:
            create_once(self.secret(name), KeyRing.fresh().text())
        for signer in signers:
            create_once(self.signing(signer), KeyRing.fresh().text())
        create_once(self.trust, write(self._trust_of(signers)).decode())

    def _trust_of(self, services: tuple[str, ...]) -> TrustDocument:
        rings = {name: KeyRing.parse(self.signing(name).read_text()) for name in services}
        return TrustDocument(
            signers=tuple(Signer(name=name, keys=public_keys_of(ring)) for name, ring in rings.items())
        )

    def environment(self, service: str) -> dict[str, str]:
        """The variables that name a service's own files, and no others."""
        own = {"MODELYARD_SERVICE_KEY_FILE": self.service_key(service)}
        own |= {variable: self.secret(name) for name, (variable, users) in SECRETS.items() if service in users}
        if self.signing(service).exists():
            own |= {"MODELYARD_SIGNING_KEY_FILE": self.signing(service), "MODELYARD_TRUST_FILE": self.trust}
        if service == "registry":
            own |= {"MODELYARD_ADMIN_KEY_FILE": self.admin_key, "REGISTRY_SERVICE_KEYS_DIR": self.service_keys}
        return {variable: str(path.resolve()) for variable, path in own.items()}


def new_key() -> str:
    """A random key in the form of the registry's: my_<id>_<secret>."""
    return f"my_{secrets.token_hex(8)}_{secrets.token_urlsafe(32)}"


def create_once(path: Path, text: str) -> None:
    """Write a new file, complete or not at all, readable by its owner only; an existing one stays."""
    if not path.exists():
        replace_private(path, text)


def replace_private(path: Path, text: str) -> None:
    """Replace a file in one step; readers see the old text or the new one. A new file is readable by its owner only."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
        draft.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
