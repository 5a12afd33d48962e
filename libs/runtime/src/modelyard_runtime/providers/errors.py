"""Why a server could not be had."""

from __future__ import annotations


class ProviderError(RuntimeError):
    """What was asked for cannot be given; the text names the setting and the remedy. Never followed by a fall-back."""

    retryable = False
