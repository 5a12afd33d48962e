"""Random numbers of Python and numpy, and whether `heavy` was there."""

import json
import os
import random
import sys

heavy = "heavy" in sys.modules
import numpy as np  # noqa: E402  after the look at what was there

print(json.dumps({"heavy": heavy, "parent": os.getppid(), "python": random.random(), "numpy": float(np.random.rand())}))
