"""The option --fast: what it leaves out, and what it fails."""

import pytest

pytestmark = pytest.mark.process
pytest_plugins = ["pytester"]

PLUGINS = 'pytest_plugins = ["modelyard_devstack.testing.plugin", "modelyard_devstack.testing.fast"]'
TESTS = """
import subprocess, sys, time, pytest

def test_is_fast():
    pass

@pytest.mark.process
def test_is_marked_process():
    pass

@pytest.mark.slow
def test_is_marked_slow():
    pass

def test_requests_loopback(loopback):
    pass

def test_starts_a_process():
    subprocess.run([sys.executable, "-c", ""], check=True)

def test_needs_cpu(monkeypatch):
    monkeypatch.setattr("modelyard_devstack.testing.fast.CPU_LIMIT_S", 0.01)
    begin = time.process_time()
    while time.process_time() - begin < 0.02:
        pass
"""


def test_without_the_option_all_tests_run(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(PLUGINS)
    pytester.makepyfile(TESTS)
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "ignore").assert_outcomes(passed=6)


def test_unmarked_tests_that_start_a_process_or_need_cpu_fail(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(PLUGINS)
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "ignore", "--fast")
    result.assert_outcomes(passed=1, failed=2, deselected=3)
    result.stdout.fnmatch_lines(["*without the mark `process`*", "*of CPU without the mark `slow`*"])
