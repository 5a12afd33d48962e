"""Insert tokens that the engine noted for parts it never committed.

MergeTree writes a block's token into its deduplication log first and renames the block's part into place afterwards. A
kill in between leaves a token without a part: the same batch sent again would be taken for a repeat and be lost. So
each start forgets such tokens, before the engine reads them and gives their block numbers to other parts.
"""

import re
from pathlib import Path
from typing import Final

ADDED: Final = "1"
"""The first field of a line that adds a token; the others are the part's name and the token's hash."""
_PART: Final = re.compile(r"(?P<partition>[^_]+)_(?P<first>\d+)_(?P<last>\d+)_\d+(_\d+)?")


def forget_uncommitted(engine: Path) -> int:
    """Take tokens without a part out of the logs of all tables below `engine`; returns how many there were.

    Tokens of parts that expired by TTL go, too: batches that old do not come again.
    """
    return sum(_forget(log) for log in sorted(engine.glob("store/*/*/deduplication_logs/*.txt")))


def _forget(log: Path) -> int:
    parts = _outermost_parts(log.parent.parent)
    lines = log.read_text().splitlines(keepends=True)
    kept = [line for line in lines if _committed(line, parts)]
    if len(kept) < len(lines):
        fresh = log.with_suffix(".new")
        fresh.write_text("".join(kept))
        fresh.replace(log)
    return len(lines) - len(kept)


def _outermost_parts(table: Path) -> list[tuple[str, int, int]]:
    """(partition, first block, last block), without parts that were merged into another one.

    What an insert or a merge left half done has another kind of name.
    """
    found = [_PART.fullmatch(folder.name) for folder in table.iterdir()]
    parts = sorted((it["partition"], int(it["first"]), -int(it["last"])) for it in found if it)
    outermost: list[tuple[str, int, int]] = []
    for partition, first, minus_last in parts:
        if not outermost or (partition, -minus_last) > (outermost[-1][0], outermost[-1][2]):
            outermost.append((partition, first, -minus_last))
    return outermost


def _committed(line: str, parts: list[tuple[str, int, int]]) -> bool:
    """Whether a part holds the line's block, its own or one that it was merged into; lines we cannot read stay."""
    action, _, rest = line.partition("\t")
    block = _PART.fullmatch(rest.partition("\t")[0])
    if action != ADDED or block is None:
        return True
    first, last = int(block["first"]), int(block["last"])
    return any(p == block["partition"] and a <= first and last <= b for p, a, b in parts)
