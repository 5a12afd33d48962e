"""Messages between owner and zygote: one packet each, over a socket pair that preserves packets.

Owner: SPAWN or DETACHED, with three file descriptors: where the child reads its request, its stdout, its stderr.
Zygote: JSON. `{"ready": {module: error}}` once; `{"started": pid}` with the child's pidfd, or `{"failed": why}`, for
each request; `{"ended": pid, "code": n}` for each child.

The request itself (module, argv, env, cwd) goes from owner to child, not through the zygote, after the owner received
the process id. So the zygote never holds a secret that another child could find, and a child whose owner died before
that reads the end of the file instead of a request, and exits.
"""

import json
import socket
from typing import Any, Final

SPAWN: Final = b"spawn"
"""The zygote stays while this child runs, to report its exit code."""
DETACHED: Final = b"detached"
"""The zygote may end before this child does."""
REQUEST_FDS: Final = 3
MAX_PACKET_BYTES: Final = 65_536
UNFIT: Final = 3
"""Exit code of a zygote that must not fork."""


def send(to: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    body = json.dumps(message).encode()[:MAX_PACKET_BYTES]
    if fds:
        socket.send_fds(to, [body], list(fds))
    else:
        to.send(body)


def receive(of: socket.socket) -> tuple[bytes, list[int]]:
    """One packet and its file descriptors; an empty packet is the end."""
    body, fds, _, _ = socket.recv_fds(of, MAX_PACKET_BYTES, REQUEST_FDS, socket.MSG_CMSG_CLOEXEC)
    return body, list(fds)
