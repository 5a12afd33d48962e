"""A model of a provider in its own process: it answers over HTTP, and its key is in no place that others can read."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelyard_contracts.connections import Connection, ConnectionAccess
from modelyard_contracts.documents import digest_of, write
from modelyard_contracts.example import EXAMPLE_FILE, Example
from modelyard_contracts.manifest import FileEntry, ManifestFile
from modelyard_contracts.signature import Task
from modelyard_devstack.testing import Process
from modelyard_devstack.testing.openai import KEY, FakeProvider, bought_manifest, fake_provider
from modelyard_serving.trial import TrialLimits, TrialOutcome, run_trial

from .conftest import TOKEN
from .test_process import server

LIMITS = TrialLimits(seconds=60, measure_s=0.0)


@dataclass
class Bought:
    folder: Path
    provider: FakeProvider

    @property
    def file(self) -> Path:
        return self.folder.parent / "connection" / "access.json"

    def access(self, **fields: Any) -> ConnectionAccess:
        document = Connection(endpoint=self.provider.url, allow_http=True, secret="A_KEY")
        return ConnectionAccess(name="openai", revision=1, connection=document, key=KEY).model_copy(update=fields)

    def connect(self, **fields: Any) -> None:
        self.file.parent.mkdir(exist_ok=True)
        new = self.file.with_suffix(".new")
        new.write_text(self.access(**fields).model_dump_json())
        new.replace(self.file)

    def register(self, task: Task = Task.TEXT) -> None:
        example = write(Example(rows=({"text": "to be"}, {"text": "or not"}, {"text": "x"}, {"text": "y"})))
        (self.folder / EXAMPLE_FILE).write_bytes(example)
        manifest = bought_manifest(self.folder, "openai", task)
        entry = FileEntry(path=EXAMPLE_FILE, digest=digest_of(example), size_bytes=len(example))
        manifest = manifest.model_copy(update={"files": (*manifest.files, entry), "example": EXAMPLE_FILE})
        (self.folder / "manifest.json").write_bytes(ManifestFile.write(manifest).data)


@pytest.fixture
def bought(tmp_path: Path, loopback: None) -> Iterator[Bought]:
    (tmp_path / "model").mkdir()
    with fake_provider() as provider:
        found = Bought(tmp_path / "model", provider)
        found.register()
        found.connect()
        yield found


def ask(process: Process, path: str, body: Any) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(str(process.address), timeout=30)
    connection.request("POST", path, json.dumps(body), {"authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data


def test_it_answers_whole_and_streamed_and_reports_what_the_provider_refuses(bought: Bought) -> None:
    process = server(bought.folder, "--connection", str(bought.file), "--drain-s", "0").start()
    status, headers, data = ask(process, "/v2/models/help/generate", {"text_input": "to be or not"})
    answer = json.loads(data)
    assert (status, answer["text_output"], answer["finish_reason"]) == (200, "to be or not ", "stop")
    assert answer["usage"] == {"input_tokens": 4, "output_tokens": 4}
    assert (headers["x-modelyard-model"], len(headers["x-modelyard-digest"])) == ("help", 71)
    _, _, data = ask(process, "/v2/models/help/generate_stream", {"text_input": "a b", "parameters": {"max_tokens": 1}})
    events = [json.loads(line[6:]) for line in data.split(b"\n\n") if line]
    assert [event["text_output"] for event in events] == ["a ", ""]
    assert (events[-1]["finish_reason"], events[-1]["usage"]["output_tokens"]) == ("length", 1)
    assert len(bought.provider.calls) == 2  # none for a warm-up

    seen = Path(f"/proc/{process.pid}/environ").read_bytes() + Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert KEY.encode() not in seen
    bought.provider.status, bought.provider.headers = 429, {"retry-after": "7"}
    status, headers, data = ask(process, "/v2/models/help/generate", {"text_input": "x"})
    assert (status, headers["retry-after"]) == (429, "7")
    assert json.loads(data)["error"].startswith("connection openai: the provider answered 429")
    bought.connect(key="withdrawn", revision=2)  # the changed file is seen by the confined process
    bought.provider.status = 200
    status, _, data = ask(process, "/v2/models/help/generate_stream", {"text_input": "x"})
    assert (status, json.loads(data)["code"]) in [(502, "provider_unauthorized"), (429, "provider_rate_limited")]
    assert KEY not in process.output and b"withdrawn" not in data
    process.stop()


def test_vectors_are_answered_and_what_the_provider_refuses_is_named(bought: Bought) -> None:
    bought.register(Task.EMBEDDING)
    process = server(bought.folder, "--connection", str(bought.file), "--drain-s", "0").start()
    rows = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "bbb"]}]}
    status, _, data = ask(process, "/v2/models/help/infer", rows)
    assert (status, json.loads(data)["outputs"][0]["data"]) == (200, [1, 1, 0, 3, 1, 0])
    bought.connect(key="wrong")
    status, _, data = ask(process, "/v2/models/help/infer", rows)
    assert (status, json.loads(data)["code"]) == (502, "provider_unauthorized")
    assert "connection openai" in json.loads(data)["error"]
    process.stop()


@pytest.mark.parametrize("task", [Task.TEXT, Task.EMBEDDING])
def test_a_trial_is_one_call(bought: Bought, task: Task) -> None:
    bought.register(task)
    report = run_trial(bought.folder, LIMITS, bought.access())
    assert (report.outcome, report.rows, report.reason) == (TrialOutcome.ANSWERED, 1, "")
    assert report.p50_ms is not None and report.answers_equal is None
    assert len(bought.provider.calls) == 1
    if task is Task.TEXT:
        assert [answer.label for answer in report.answers] == ["to be "]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(401, TrialOutcome.NOT_RUN), (429, TrialOutcome.NOT_RUN), (500, TrialOutcome.NOT_RUN), (404, TrialOutcome.FAILED)],
)
def test_a_provider_that_does_not_answer_is_no_evidence_and_one_without_the_model_is(
    bought: Bought, status: int, outcome: TrialOutcome
) -> None:
    bought.provider.status = status
    report = run_trial(bought.folder, LIMITS, bought.access())
    assert (report.outcome, report.reason.startswith("connection openai: the provider ")) == (outcome, True), report
