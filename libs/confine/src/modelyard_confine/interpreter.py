"""Files and folders that Python and its libraries read while they run."""

import os
import sys
from pathlib import Path
from typing import Final

_SYSTEM: Final = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types",
    "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/self/maps", "/proc/self/stat", "/proc/self/statm",
    "/proc/self/status", "/proc/self/cgroup", "/sys/devices", "/sys/bus/pci", "/sys/fs/cgroup",
)  # fmt: skip
"""Not /proc/self itself: `environ` there holds the variables that the process started with."""


_NETWORK: Final = (
    "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/host.conf", "/etc/services",
    "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/usr/share/ca-certificates", "/etc/pki/ca-trust",
    "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem",
)  # fmt: skip


def network_paths() -> tuple[Path, ...]:
    """Return existing paths that calls over the network read: name resolution, and certificate authorities."""
    found = [Path(path) for path in (*_NETWORK, os.environ.get("SSL_CERT_FILE", "")) if path]
    return tuple(path for path in found if path.exists())


def interpreter_paths() -> tuple[Path, ...]:
    """Return existing paths: the standard library, everything on sys.path, shared libraries, facts about the machine.

    The working folder is left out although Python searches it for modules: it may be the platform's own.
    """
    library = str(Path(os.__file__).parent)  # also if an archive with the library takes its place on sys.path
    searched = [path for path in sys.path if path and Path(path).resolve() not in (Path.cwd(), Path("/"))]
    candidates = dict.fromkeys(Path(path) for path in (library, *searched, *_SYSTEM))
    return tuple(path for path in candidates if path.exists())
