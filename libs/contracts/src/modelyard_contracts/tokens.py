"""Token of the model servers for a service that runs without `SERVING_TOKEN_FILE`."""

import hashlib
import hmac


def serving_token(admin_key: str) -> str:
    """Return the token that the router sends to model servers: HMAC-SHA256 of a constant, hexadecimal."""
    return hmac.new(admin_key.encode(), b"modelyard-serving", hashlib.sha256).hexdigest()
