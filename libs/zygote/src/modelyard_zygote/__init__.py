"""Python processes that start in milliseconds: forked from a parent, the zygote, that has imported what they need.

`Zygote(preload).spawn("package.module", [...], ...)` is `python -m package.module ...` without the seconds of imports.
The child has its own session, environment, folder, output files and process id; it keeps running when the zygote or
the service that started it ends.

Forking is safe only from a process with one thread, so the zygote is a process of its own, does nothing but fork, and
refuses to serve when a module it imported has started a thread. On other systems than Linux, or when the zygote cannot
run, `spawn` starts a plain subprocess: slower, otherwise equal.

Why not `multiprocessing.forkserver`: it hides import errors, runs as long as its owner, keeps the owner's environment
(with its keys), adds a resource tracker, and its children run a pickled function with the server's session, output and
arguments. Our children must be identifiable by their own files after a kill -9 of all other processes, must end
without us, and must not see one another's secrets.
"""

from modelyard_zygote.client import Zygote
from modelyard_zygote.handles import UNKNOWN_CODE, Handle

__all__ = ["UNKNOWN_CODE", "Handle", "Zygote"]
