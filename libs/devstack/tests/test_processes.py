"""The helper that other tests run processes with."""

import sys

import pytest

from modelyard_devstack.testing import Process

pytestmark = pytest.mark.usefixtures("loopback")
MUCH = "import sys; sys.stdout.write('x\\n' * 300_000); sys.exit(3)"


def test_all_that_a_process_said_is_there_once_it_has_ended() -> None:
    process = Process([sys.executable, "-c", MUCH]).start(ready=False)
    assert process.wait() == 3
    assert len(process.lines) == 300_000


def test_a_process_that_ends_unready_fails_the_test_with_its_last_words() -> None:
    with pytest.raises(AssertionError, match="the disk is full"):
        Process([sys.executable, "-c", "import sys; sys.exit('the disk is full')"]).start()
