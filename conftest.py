"""For every test of the workspace: no network unless asked for, and the shared fixtures of servers."""

pytest_plugins = ["modelyard_runtime.testing.plugin"]
