"""Results of the router."""

from modelyard.results.base import Result


class LoadedRoute(Result):
    """A route as one router executes it."""

    route: str
    sequence: int = 0


class FeedbackReceipt(Result):
    """How many labels were accepted; the call returns when they are stored durably."""

    accepted: int = 0
