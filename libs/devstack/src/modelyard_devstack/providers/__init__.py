"""Where the servers come from: a given address, a local distribution, Docker, or the development default.

One place decides, for `modelyard up` and for tests. What is configured but does not work is an error, never a silent
fall-back to something else.
"""

from modelyard_runtime.errors import ModelyardError


class ProviderError(ModelyardError):
    """A configured server cannot be reached or started; the message says which setting and what to do."""

    code = "provider"


__all__ = ["ProviderError"]
