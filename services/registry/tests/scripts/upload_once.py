"""Upload a file and print how much memory that took: `python upload_once.py URL TOKEN FILE WARM_UP_FILE`."""

import json
import sys
import time
from pathlib import Path

from modelyard import RegistryClient
from modelyard.blobs import file_digest
from modelyard_devstack.testing.memory import forget_peak, peak_bytes

url, token, file, small = sys.argv[1:]
with RegistryClient(url, token, timeout_s=600) as client:
    client.put_blob(Path(small))
    digest = file_digest(Path(file))
    before = forget_peak()
    started = time.perf_counter()
    client.upload(digest, Path(file))
    wall_s = time.perf_counter() - started
    print(json.dumps({"digest": digest, "wall_s": wall_s, "growth_bytes": peak_bytes() - before}))
