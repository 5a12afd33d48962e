"""Takes processor time to import."""

import time

BEGAN = time.process_time()
while time.process_time() - BEGAN < 0.6:
    pass
