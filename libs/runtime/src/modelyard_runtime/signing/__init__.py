"""Signatures of control events: the writer's service signs each event, every reader checks it before it is applied."""

from modelyard_runtime.signing.gate import Gate
from modelyard_runtime.signing.keys import public_key_of, public_keys_of
from modelyard_runtime.signing.signer import EventSigner
from modelyard_runtime.signing.trust import NotSigned, Trust, TrustFile

__all__ = ["EventSigner", "Gate", "NotSigned", "Trust", "TrustFile", "public_key_of", "public_keys_of"]
