"""Owns a zygote and a child, says their pids in FOLDER/pids, and waits to be killed."""

import json
import os
import sys
import time
from pathlib import Path

from modelyard_zygote import Zygote

folder = Path(sys.argv[1])
zygote = Zygote([], env=os.environ)
with (folder / "out").open("ab") as out:
    child = zygote.spawn("sleeps", [], env=os.environ, stdout=out, stderr=out)
(folder / "pids").write_text(json.dumps({"zygote": zygote.pid, "child": child.pid}))
print("ready now", flush=True)
time.sleep(60)
