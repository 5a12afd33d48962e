"""A bucket of a local S3."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest


@dataclass(frozen=True)
class Bucket:
    url: str
    endpoint: str


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A local server with the protocol of S3."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A new bucket; the credentials for it are in the environment."""
    import boto3  # type: ignore[import-untyped]  # has no types

    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    name = f"models-{uuid4().hex[:8]}"
    boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").create_bucket(Bucket=name)
    return Bucket(f"s3://{name}/artifacts", s3_endpoint)


@pytest.fixture
def disk_s3(tmp_path: Path) -> Iterator[str]:
    """Endpoint of a store on the disk, in a process of its own: it checks signatures, and ETags when it copies."""
    pytest.importorskip("botocore")
    (folder := tmp_path / "disk-s3").mkdir()
    command = [sys.executable, str(Path(__file__).parent / "scripts" / "local_s3.py"), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.terminate()
