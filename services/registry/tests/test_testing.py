"""The helper that gives other services' tests the real registry."""

import json
import sys
import urllib.request
from datetime import timedelta
from pathlib import Path
from subprocess import run

import pytest

from modelyard import ApiUnavailable, RegistryClient
from modelyard_contracts import ResourceChange, VersionStage
from modelyard_registry.testing import InProcessRegistry
from modelyard_runtime.clock import FakeClock

from .conftest import manifest_of

CALL = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1] + "/v1/models", headers={"authorization": "Bearer " + sys.argv[2]})
print(urllib.request.urlopen(request).read().decode())
"""


def test_it_answers_in_process_and_over_a_socket_also_from_a_subprocess(tmp_path: Path, loopback: None) -> None:
    with InProcessRegistry(tmp_path) as registry:
        RegistryClient("http://registry", registry.admin_key, transport=registry.transport).create_model("elec")
        url = registry.serve()
        with RegistryClient(url, registry.admin_key) as client:
            assert client.model("elec").name == "elec"
        answer = run([sys.executable, "-c", CALL, url, registry.admin_key], capture_output=True, check=True)
    assert [item["name"] for item in json.loads(answer.stdout)["items"]] == ["elec"]
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


def test_the_time_is_given_and_the_content_stays_in_the_folder(tmp_path: Path) -> None:
    clock = FakeClock()
    start = clock()
    clock.advance(3_600)
    with InProcessRegistry(tmp_path, clock) as registry:
        RegistryClient("http://registry", registry.admin_key, transport=registry.transport).create_model("elec")
    with InProcessRegistry(tmp_path, clock) as registry:
        client = RegistryClient("http://registry", registry.admin_key, transport=registry.transport)
        assert client.model("elec").created_at == start + timedelta(hours=1)


@pytest.mark.parametrize("stage", [stage for stage in VersionStage if stage not in ("pending", "retired")])
def test_versions_are_moved_to_any_stage_and_the_queued_events_are_readable(
    tmp_path: Path, stage: VersionStage
) -> None:
    with InProcessRegistry(tmp_path) as registry:
        number = registry.given_version(manifest_of(m=b"bytes"), {"m": b"bytes"}, stage)
        client = RegistryClient("http://registry", registry.admin_key, transport=registry.transport)
        assert client.version("elec", number).stage is stage
        assert client.get_blob(manifest_of(m=b"bytes").files[0].digest) == b"bytes"
        moves = [event.stage for event in registry.messages() if event.change is not ResourceChange.ALIAS_MOVED]
    assert moves[1] is VersionStage.REGISTERED and stage in moves


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with InProcessRegistry(tmp_path) as registry:
        client = RegistryClient("http://registry", registry.admin_key, transport=registry.transport)
        with registry.unavailable(), pytest.raises(ApiUnavailable):
            client.models()
        assert client.models() == ()
