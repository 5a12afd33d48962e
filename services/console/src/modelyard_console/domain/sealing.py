"""Secrets of a session, all derived from its cookie.

The database holds a hash of the cookie and the API key encrypted with a key derived from the cookie. A copy of
the database alone reveals neither.
"""

import hashlib
import hmac
import os
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

COOKIE_BYTES: Final = 32
NONCE_BYTES: Final = 12


def new_cookie() -> str:
    """A random cookie of 256 bits."""
    return secrets.token_urlsafe(COOKIE_BYTES)


def session_id(cookie: str) -> bytes:
    """Key of the session in the database."""
    return hashlib.sha256(cookie.encode()).digest()


def csrf_token(cookie: str) -> str:
    """Token that every form of the session must send; a page of another site cannot know it."""
    return _derive(cookie, b"csrf").hex()


def seal(cookie: str, api_key: str) -> bytes:
    """Encrypt an API key (AES-256-GCM): nonce and ciphertext."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(_derive(cookie, b"seal")).encrypt(nonce, api_key.encode(), session_id(cookie))


def unseal(cookie: str, sealed: bytes) -> str | None:
    """Decrypt an API key; None if it was sealed with another cookie or altered."""
    nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return AESGCM(_derive(cookie, b"seal")).decrypt(nonce, encrypted, session_id(cookie)).decode()
    except InvalidTag:
        return None


def _derive(cookie: str, purpose: bytes) -> bytes:
    """A key for one purpose. The cookie is uniformly random, so one HMAC is a sound extraction (RFC 5869, 3.3)."""
    return hmac.new(cookie.encode(), b"modelyard console " + purpose, hashlib.sha256).digest()
