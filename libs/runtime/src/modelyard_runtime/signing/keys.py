"""Ed25519 keys: a signing key is a secret of a key ring, 32 random bytes in base64url."""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from modelyard_contracts.keyring import InvalidKeyRing, KeyRing, Secret
from modelyard_contracts.trust import PublicKey
from modelyard_runtime.signing.frame import decoded, encoded

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED_BYTES: Final = 32


@lru_cache(maxsize=64)
def private_key(secret: Secret) -> "Ed25519PrivateKey":
    """The key of a secret; InvalidKeyRing if it is not one."""
    # Imported here: 8 MiB of every service that only a deployment with signatures needs.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed = decoded(secret.value)
    if seed is None or len(seed) != SEED_BYTES:
        raise InvalidKeyRing(f"the secret {secret.id} is no signing key: 32 random bytes in base64url, without padding")
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_key_of(secret: Secret) -> PublicKey:
    """The public key that belongs to a secret, under the same id."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    raw = private_key(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return PublicKey(id=secret.id, key=encoded(raw))


def public_keys_of(ring: KeyRing) -> tuple[PublicKey, ...]:
    """The public keys of a ring, the current one first."""
    return tuple(public_key_of(secret) for secret in ring)
