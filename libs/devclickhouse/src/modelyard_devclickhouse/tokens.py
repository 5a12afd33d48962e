"""Deduplication tokens that the engine recorded for parts it never committed.

MergeTree writes a block's token into its deduplication log before it renames the block's part into place. A kill in
between leaves a token without a part: the same batch, sent again, would count as a repeat and be lost. So each start
removes such tokens, before the engine reads them and reuses their block numbers.
"""

import re
from pathlib import Path
from typing import Final

ADDED: Final = "1"
"""The first field of a line that adds a token; followed by the part's name and the token's hash."""
_PART: Final = re.compile(r"(?P<partition>[^_]+)_(?P<first>\d+)_(?P<last>\d+)_\d+(_\d+)?")


def forget_uncommitted(engine: Path) -> int:
    """Remove tokens without a part from the logs of all tables below `engine`; returns their number.

    Tokens of parts expired by TTL are removed, too: such old batches are not repeated.
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

    Unfinished inserts and merges have names of another form.
    """
    found = [_PART.fullmatch(folder.name) for folder in table.iterdir()]
    parts = sorted((it["partition"], int(it["first"]), -int(it["last"])) for it in found if it)
    outermost: list[tuple[str, int, int]] = []
    for partition, first, minus_last in parts:
        if not outermost or (partition, -minus_last) > (outermost[-1][0], outermost[-1][2]):
            outermost.append((partition, first, -minus_last))
    return outermost


def _committed(line: str, parts: list[tuple[str, int, int]]) -> bool:
    """Return whether a part contains the line's block, directly or merged; unreadable lines are kept."""
    action, _, rest = line.partition("\t")
    block = _PART.fullmatch(rest.partition("\t")[0])
    if action != ADDED or block is None:
        return True
    first, last = int(block["first"]), int(block["last"])
    return any(p == block["partition"] and a <= first and last <= b for p, a, b in parts)
