"""Changes of the trust document and of signing keys: new signers, rotation, revocation."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelyard_cli.stack.credentials import replace_private
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.documents import DocumentError, read, write
from modelyard_contracts.keyring import InvalidKeyRing, KeyRing
from modelyard_contracts.topics import all_topics
from modelyard_contracts.trust import ANY_WRITER, MAX_KEYS, PublicKey, Signer, TrustDocument
from modelyard_runtime.signing import public_keys_of


@dataclass(frozen=True)
class SignerFiles:
    """The key ring of one signer, and the trust document of all."""

    name: str
    ring: Path
    trust: Path

    def rotate(self, keep: int, wait: Callable[[str], None]) -> KeyRing:
        """Add a key, let all readers trust it, then sign with it. Its predecessors stay trusted until `revoke`."""
        added = self._ring().with_new()
        new = added.secrets[-1]
        self._trust_also(public_keys_of(added))
        replace_private(self.ring, added.text())
        wait(new.id)
        ring = added.with_current(new.id).only(keep)
        replace_private(self.ring, ring.text())
        return ring

    def add(self, topics: tuple[str, ...]) -> None:
        """Make a new signer of request topics; StackError if there is one of that name, or a topic is no such topic."""
        allowed = [spec.name for spec in all_topics() if ANY_WRITER in spec.writers]
        if unknown := [name for name in topics if name not in allowed]:
            raise StackError(f"topic: {', '.join(unknown)} takes no requests of others; use {', '.join(allowed)}")
        document = self._document()
        if self.ring.exists() or any(signer.name == self.name for signer in document.signers):
            raise StackError(f"signer: there is a {self.name} already; use another name")
        ring = KeyRing.fresh()
        signer = Signer(name=self.name, topics=topics, keys=public_keys_of(ring))
        replace_private(self.ring, ring.text())
        self._write(TrustDocument(signers=(*document.signers, signer)))

    def revoke(self, key_id: str) -> None:
        """Stop trusting a key, at once; events that it signed are refused from then on."""
        signer = self._signer()
        if key_id not in {key.id for key in signer.keys}:
            raise StackError(f"key: {self.name} has no trusted key {key_id}")
        self._replace(signer, tuple(key for key in signer.keys if key.id != key_id))

    def _trust_also(self, keys: tuple[PublicKey, ...]) -> None:
        signer = self._signer()
        known = {key.id for key in signer.keys}
        self._replace(signer, (*signer.keys, *(key for key in keys if key.id not in known))[-MAX_KEYS:])

    def _replace(self, signer: Signer, keys: tuple[PublicKey, ...]) -> None:
        changed = Signer(name=signer.name, topics=signer.topics, keys=keys)
        others = tuple(one for one in self._document().signers if one.name != signer.name)
        self._write(TrustDocument(signers=(*others, changed)))

    def _signer(self) -> Signer:
        found = [signer for signer in self._document().signers if signer.name == self.name]
        return found[0] if found else Signer(name=self.name, keys=())

    def _write(self, document: TrustDocument) -> None:
        replace_private(self.trust, write(document).decode())

    def _document(self) -> TrustDocument:
        try:
            return read(TrustDocument, self.trust.read_bytes())
        except OSError as error:
            raise StackError(f"cannot read {self.trust}: {error.strerror}; name it by --trust or --data-dir") from error
        except DocumentError as error:
            raise StackError(f"{self.trust}: {error}") from error

    def _ring(self) -> KeyRing:
        try:
            return KeyRing.parse(self.ring.read_text())
        except OSError as error:
            raise StackError(f"cannot read {self.ring}: {error.strerror}; name it by --file or --data-dir") from error
        except InvalidKeyRing as error:
            raise StackError(f"{self.ring}: {error}") from error
