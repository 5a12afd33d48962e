"""Looks through its own memory for a text; its parts keep this program's own copies from counting."""

import re
import sys
from pathlib import Path

wanted = b"k" * 8 + b"-" + sys.argv.pop().encode() + b"-"
found = 0
with Path("/proc/self/maps").open() as maps, Path("/proc/self/mem").open("rb", buffering=0) as memory:
    for line in maps:
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
        if match and "[v" not in line:
            start, end = (int(place, 16) for place in match.groups())
            memory.seek(start)
            found += memory.read(end - start).count(wanted + b"z" * 8)
print("found" if found else "nothing")
