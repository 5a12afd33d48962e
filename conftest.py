"""Shared by all tests: no network unless requested, fixtures of local servers, the option --fast."""

from importlib.util import find_spec

pytest_plugins = ["modelyard_devstack.testing.plugin", "modelyard_devstack.testing.fast"]

if find_spec("hypothesis"):
    from hypothesis import HealthCheck, settings

    # The same examples in every run, and no time limit per example: the machine may be busy.
    settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("same")
