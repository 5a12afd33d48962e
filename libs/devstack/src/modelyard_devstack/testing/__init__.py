"""Helpers for tests of services: ports, waiting, subprocesses. Fixtures are in testing/plugin.py."""

from modelyard_devstack.ports import free_port
from modelyard_devstack.testing.processes import DevServer, Process, eventually, remains, run_service, stays, wait_until

__all__ = ["DevServer", "Process", "eventually", "free_port", "remains", "run_service", "stays", "wait_until"]
