"""A whole stack on a small disk, for the tests of one file."""

from collections.abc import Iterator

import pytest

from .services import Stack, started


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TRAINER_RAY_IDLE_S", "0")  # no training here, so no Ray
        environment.setenv("MONITOR_LABEL_GRACE_S", "1")
        environment.setenv("MONITOR_FLUSH_S", "0.3")
        with started(tmp_path_factory.mktemp("faults")) as stack:
            yield stack
