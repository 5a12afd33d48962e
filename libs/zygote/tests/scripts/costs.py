"""Its processor time so far."""

import time

print(time.process_time())
