"""Retry budgets: a fallback may repeat a share of the recent requests, so that it does not multiply an overload."""

from typing import Final

BURST_REQUESTS: Final = 10
"""The budget of this many requests may be saved up."""


class RetryBudget:
    """share: of the requests that may be retried, 0 to 1."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._most = max(1.0, BURST_REQUESTS * share) if share > 0 else 0.0
        self._saved = self._most

    def earn(self) -> None:
        """A request started."""
        self._saved = min(self._most, self._saved + self._share)

    def spend(self) -> bool:
        """Whether a retry is allowed; it is counted then."""
        if self._saved < 1 - 1e-9:
            return False
        self._saved -= 1
        return True
