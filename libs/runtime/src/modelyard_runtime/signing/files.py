"""The files that signatures need, opened at the start; StartupError names the setting and the remedy."""

from pathlib import Path
from typing import Final

from modelyard_contracts.documents import DocumentError
from modelyard_contracts.keyring import InvalidKeyRing, KeyRingFile
from modelyard_runtime.errors import StartupError
from modelyard_runtime.signing.keys import public_keys_of
from modelyard_runtime.signing.signer import EventSigner
from modelyard_runtime.signing.trust import TrustFile

KEY: Final = "MODELYARD_SIGNING_KEY_FILE"
TRUST: Final = "MODELYARD_TRUST_FILE"


def open_trust(path: Path) -> TrustFile:
    """The trust document in a file."""
    try:
        return TrustFile(path)
    except OSError as error:
        raise StartupError(f"{TRUST}: cannot read {path} ({error.strerror}); name the trust document") from error
    except (DocumentError, ValueError) as error:
        raise StartupError(f"{TRUST}: {path}: {error}") from error


def open_signer(service: str, key_file: Path | None, trust_file: Path | None) -> EventSigner | None:
    """The signer of a service; None if neither file is set.

    A trust document without a key, or without the public half of the current one, is an error: every reader would
    refuse the events of this service.
    """
    if key_file is None:
        if trust_file is None:
            return None
        raise StartupError(f"{KEY}: required with {TRUST}; name the key ring that signs the events of {service}")
    ring = _open_ring(key_file)
    if trust_file is not None:
        _check_trusted(service, ring, key_file, trust_file)
    return EventSigner(service, lambda: ring.ring)


def _open_ring(path: Path) -> KeyRingFile:
    try:
        file = KeyRingFile(path)
        public_keys_of(file.ring)
    except OSError as error:
        raise StartupError(f"{KEY}: cannot read {path} ({error.strerror}); write a line `id:key` into it") from error
    except InvalidKeyRing as error:
        raise StartupError(f"{KEY}: {path}: {error}") from error
    return file


def _check_trusted(service: str, file: KeyRingFile, key_file: Path, trust_file: Path) -> None:
    current = public_keys_of(file.ring)[0]
    signers = open_trust(trust_file).trust.document.signers
    if not any(signer.name == service and current in signer.keys for signer in signers):
        raise StartupError(
            f"{KEY}: {trust_file} does not have the public key of {current.id} in {key_file}, so every reader would "
            f"refuse the events of {service}; add it with `modelyard secrets rotate {service}-signing`"
        )
