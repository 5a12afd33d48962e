"""Starts replicas of FOLDER/model below FOLDER/replicas, prints their ids, and waits to be killed."""

import json
import sys
import time
from pathlib import Path
from uuid import uuid4

from modelyard_contracts.manifest import ManifestFile
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import Resources
from modelyard_deployer.workloads.processes import LocalProcesses
from modelyard_deployer.workloads.tokens import ServingTokens

folder, count = Path(sys.argv[1]), int(sys.argv[2])
file = ManifestFile.read((folder / "manifest.json").read_bytes())
version = Version(file.manifest.model, 7, "approved", file)
runtime = LocalProcesses(folder / "replicas", ServingTokens("token"), zygote_idle_s=60.0)
replicas = [uuid4() for _ in range(count)]
pids = [runtime.start(replica, folder / "model", version, Resources()).pid for replica in replicas]
print(
    "ready", json.dumps({"replicas": [str(one) for one in replicas], "pids": pids}, separators=(",", ":")), flush=True
)
time.sleep(60)
