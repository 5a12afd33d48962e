"""Prints ready, and sleeps for its argument in seconds."""

import sys
import time

print("ready", flush=True)
time.sleep(float(sys.argv[1]) if len(sys.argv) == 2 else 60)
