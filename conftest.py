"""For every test of the workspace: no network unless asked for, and the shared fixtures of servers."""

from importlib.util import find_spec

pytest_plugins = ["modelyard_devstack.testing.plugin"]

if find_spec("hypothesis"):
    from hypothesis import HealthCheck, settings

    # The same examples every time, and no judgement on how fast a busy machine makes them: a failure is a fault.
    settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("same")
