"""Leaves a thread and an exit handler running at its end."""

import atexit
import threading
import time


def late() -> None:
    time.sleep(0.2)
    print("thread")


atexit.register(print, "handler")
threading.Thread(target=late).start()
