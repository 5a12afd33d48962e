"""The providers' error under a second, shorter way to it."""

from modelyard_runtime.providers import ProviderError

__all__ = ["ProviderError"]
