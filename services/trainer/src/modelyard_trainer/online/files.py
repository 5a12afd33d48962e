"""Files in a learner's folder; the service knows them without importing the learner's libraries."""

from typing import Final

OUT: Final = "out"
"""Folder of complete snapshots, each named by the number of rows learned."""
STATUS: Final = "status.json"
"""The last report of the process."""
STATE: Final = "state.pickle"
"""The learner and its cursor; of use to its own process only."""
