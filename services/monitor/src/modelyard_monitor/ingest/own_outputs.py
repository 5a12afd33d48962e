"""The version's own output of each row: of an ensemble, the vote of the version that leads it."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

VOTES: Final = "votes"


def own_output(rows: pa.Table, name: str) -> pa.Array:
    """Return column `class` or `score`, with the first vote instead of the combined answer where members voted.

    A version's reference profile describes what it answers alone, so that is what is compared with it.
    """
    outputs, votes = rows[name].combine_chunks(), rows[VOTES].combine_chunks()
    flat = votes.flatten()
    if not len(flat):
        return outputs
    lengths = pc.fill_null(pc.list_value_length(votes), 0)
    voted = pc.greater(lengths, 0)
    starts = pc.subtract(pc.cumulative_sum(lengths), lengths)
    return pc.replace_with_mask(outputs, voted, flat.field(name).take(starts.filter(voted)))
