"""Repositories of hubs: listed at a commit, one copy of the weights chosen, downloaded, resumed and verified."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from modelyard import ApiError
from modelyard.errors import DigestMismatch
from modelyard_devstack.testing.hub import COMMIT, COMMITTED_S, FakeHub, Repo, fake_hub
from modelyard_own import UnfitModel
from modelyard_own.hubs import SITES, Connection, HubName, RemoteFile, check_repo, choose, download, hub_of
from modelyard_own.remote.connection import ATTEMPTS

MIB = 1 << 20
WEIGHTS = bytes(range(256)) * 4_000
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": b"{}",
    "model.safetensors": WEIGHTS,
    "README.md": b"# A model",
    ".gitattributes": b"* lfs",
    "pytorch_model.bin": WEIGHTS,
    "tf_model.h5": b"h5",
    "onnx/model.onnx": b"onnx",
    "modelyard.yaml": b"sample: /etc/passwd",
}
CARD = {"license": "apache-2.0", "base_model": ["org/base"]}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub(org__model=Repo(dict(FILES), dict(CARD)), org__gated=Repo(dict(FILES), gated=True)) as hub:
        yield hub


@dataclass
class Importer:
    """A caller of the hub. cache: where files are kept. reports: lines of progress. pauses: seconds waited."""

    hub: FakeHub
    cache: Path
    reports: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def run(self, repo: str = "org/model", name: HubName = HubName.HF, token: str = "", **patterns: list[str]) -> Path:
        """Download the chosen files; returns their folder."""
        environ = {SITES[name].token_variable: token}
        with Connection(SITES[name].access(self.hub.url, environ), pause=self.pauses.append) as connection:
            site = hub_of(name, connection)
            self.snapshot = site.snapshot(repo, SITES[name].revision if name is HubName.MODELSCOPE else "main")
            choice = choose(self.snapshot.files, **patterns)
            return download(site, self.snapshot, choice, self.cache, self.reports.append)


@pytest.fixture
def importer(hub: FakeHub, tmp_path: Path) -> Importer:
    return Importer(hub, tmp_path / "cache")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", list(HubName))
def test_one_copy_of_the_weights_is_downloaded_at_a_commit(importer: Importer, name: HubName) -> None:
    folder = importer.run(name=name)
    assert names(folder) == {"config.json", "tokenizer.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert importer.snapshot.origin.revision == COMMIT
    assert (importer.snapshot.origin.license, importer.snapshot.origin.gated) == ("apache-2.0", False)
    assert {int(path.stat().st_mtime) for path in folder.iterdir()} == {COMMITTED_S}


def test_the_base_model_is_recorded(importer: Importer) -> None:
    importer.run()
    assert importer.snapshot.origin.base_model == "org/base"


def test_a_list_of_files_has_pages(importer: Importer) -> None:
    importer.hub.page_files = 2
    assert "model.safetensors" in names(importer.run())


def test_a_second_import_downloads_nothing(importer: Importer) -> None:
    importer.run()
    importer.hub.calls.clear()
    importer.run()
    assert not importer.hub.downloads("model.safetensors")


def test_a_damaged_file_of_the_cache_is_downloaded_again(importer: Importer) -> None:
    folder = importer.run()
    (folder / "model.safetensors").write_bytes(bytes(len(WEIGHTS)))
    assert (importer.run() / "model.safetensors").read_bytes() == WEIGHTS


def test_a_cut_connection_is_resumed_where_it_ended(importer: Importer) -> None:
    importer.hub.cuts = 3
    folder = importer.run(exclude=["*.json"])
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    asked = [call.headers.get("range") for call in importer.hub.downloads("model.safetensors")]
    assert asked == [None, "bytes=512000-", "bytes=768000-", "bytes=896000-"]
    assert sum("interrupted" in line for line in importer.reports) == 3


def test_a_stopped_import_continues_in_the_next_process(importer: Importer) -> None:
    importer.hub.cuts = 1_000
    with pytest.raises(ApiError):
        importer.run(exclude=["*.json"])
    assert len(importer.hub.downloads("model.safetensors")) == ATTEMPTS
    importer.hub.cuts = 0
    importer.hub.calls.clear()
    assert (importer.run(exclude=["*.json"]) / "model.safetensors").read_bytes() == WEIGHTS
    [call] = importer.hub.downloads("model.safetensors")
    assert call.headers["range"].startswith("bytes=99")


def test_a_hub_without_ranges_sends_the_whole_file_again(importer: Importer) -> None:
    importer.hub.cuts, importer.hub.ranges = 1, False
    folder = importer.run(exclude=["*.json"])
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_wrong_bytes_are_thrown_away_and_asked_for_once_more(importer: Importer) -> None:
    importer.hub.wrong = 1
    folder = importer.run(exclude=["*.json"])
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert any("the bytes are wrong" in line for line in importer.reports)


@pytest.mark.parametrize("pattern", ["*.json", "model.safetensors"], ids=["large", "small"])
def test_bytes_that_are_wrong_twice_are_an_error_and_not_kept(importer: Importer, pattern: str) -> None:
    importer.hub.wrong = 100
    with pytest.raises(DigestMismatch, match="wrong bytes"):
        importer.run(exclude=[pattern])
    assert not names(importer.cache) - {path for path in names(importer.cache) if "/parts/" in path or "lock" in path}


def test_a_busy_hub_is_asked_again_after_a_pause(importer: Importer) -> None:
    importer.hub.busy = 2
    importer.run()
    assert importer.pauses[:2] == [1.0, 2.0]


def test_a_hub_that_stays_busy_is_an_error(importer: Importer) -> None:
    importer.hub.busy = 100
    with pytest.raises(ApiError, match="503"):
        importer.run()
    assert len(importer.hub.calls) == ATTEMPTS


def test_the_token_is_sent_to_the_hub_and_never_to_the_host_of_the_files(importer: Importer) -> None:
    importer.run("org/gated", token="hub-token")
    sent = {(call.host, call.headers.get("authorization")) for call in importer.hub.calls}
    assert sent == {("hub", "Bearer hub-token"), ("cdn", None)}
    assert importer.snapshot.origin.gated


def test_the_cookie_of_modelscope_stays_with_its_host(importer: Importer) -> None:
    importer.run(name=HubName.MODELSCOPE, token="hub-token")
    assert {call.headers.get("cookie") for call in importer.hub.calls if call.host == "cdn"} == {None}
    assert {call.headers.get("cookie") for call in importer.hub.calls if call.host == "hub"} == {
        "m_session_id=hub-token"
    }


def test_a_redirect_of_an_https_hub_leads_to_https_only() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"location": "http://169.254.169.254/latest"})

    access = SITES[HubName.HF].access("https://hub.example", {})
    with Connection(access, httpx.MockTransport(answer)) as hub, pytest.raises(ApiError, match="without https"):
        hub.json("https://hub.example/api", "org/model")
    assert asked == ["https://hub.example/api"]


@pytest.mark.parametrize(
    "repo", ["../etc", "org/..", "a/b/c", "http://host/x", "host:80/x", "org/n\x00", "", "a" * 200]
)
def test_a_name_that_no_repository_has_is_refused_before_a_hub_is_asked(repo: str) -> None:
    with pytest.raises(UnfitModel, match="is no repository; write ORG/NAME"):
        check_repo(repo)


@pytest.mark.parametrize(
    ("repo", "token", "remedy"),
    [
        ("org/gated", "", "accept its terms on its page at .*set HF_TOKEN"),
        ("org/none", "", "check the name, or set HF_TOKEN"),
        ("org/none", "hub-token", "no such repository, revision or file"),
    ],
)
def test_a_refusal_names_the_remedy_and_no_token(importer: Importer, repo: str, token: str, remedy: str) -> None:
    with pytest.raises(ApiError, match=remedy) as raised:
        importer.run(repo, token=token)
    assert "hub-token" not in str(raised.value)


def test_a_repository_that_modelscope_does_not_have_is_refused_in_its_words(importer: Importer) -> None:
    with pytest.raises(ApiError, match="the model does not exist"):
        importer.run("org/none", HubName.MODELSCOPE)


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ("http://hub.example", "sent over https only"),
        ("https://me:secret@hub.example", "without a name and password"),
        ("ftp://hub.example", "write https://HOST"),
        ("hub.example", "write https://HOST"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_named(endpoint: str, problem: str) -> None:
    with pytest.raises(UnfitModel, match=problem) as raised:
        Connection(SITES[HubName.HF].access(endpoint, {"HF_TOKEN": "t"}))
    assert "secret" not in str(raised.value)


def test_the_endpoint_may_stand_in_the_environment() -> None:
    site = SITES[HubName.HF]
    assert site.access(None, {"HF_ENDPOINT": "https://mirror.example"}).endpoint == "https://mirror.example"
    assert site.access(None, {}).endpoint == "https://huggingface.co"


def test_another_choice_of_files_leaves_nothing_of_the_earlier(importer: Importer) -> None:
    importer.run(include=["onnx/*"])
    assert "onnx/model.onnx" not in names(importer.run())


def test_two_imports_of_one_commit_do_not_run_at_once(importer: Importer) -> None:
    import fcntl

    folder = importer.run()
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UnfitModel, match="another import of this commit is running"):
            importer.run()


def test_a_large_file_is_never_in_memory(importer: Importer) -> None:
    size = 96 * MIB
    importer.hub.repos["org/model"].files["model.safetensors"] = bytes(size)
    tracemalloc.start()
    folder = importer.run(exclude=["*.json"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (folder / "model.safetensors").stat().st_size == size
    assert peak < 16 * MIB


def files(*paths: str) -> list[RemoteFile]:
    return [RemoteFile(path, 1, f"git:{'0' * 40}") for path in paths]


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["model.safetensors", "model.fp16.safetensors"], ["model.safetensors"]),
        (
            [
                "consolidated.safetensors",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
            ],
            [
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
            ],
        ),
        (["model.safetensors", "spiece.model", "tokenizer.json"], ["model.safetensors", "tokenizer.json"]),
        (["model.safetensors", "spiece.model"], ["model.safetensors", "spiece.model"]),
        (["model.skops", "README.md", "train.py"], ["model.skops"]),
        (["model.onnx", "model.onnx_data"], ["model.onnx", "model.onnx_data"]),
    ],
)
def test_copies_and_documentation_are_left_out(there: list[str], taken: list[str]) -> None:
    assert [file.path for file in choose(files(*there)).taken] == taken


@pytest.mark.parametrize("name", ["../evil.json", "a/../../evil.json", "/etc/passwd", "a//b.json", "né.json", "a\\b"])
def test_names_that_leave_the_folder_are_never_taken(name: str) -> None:
    choice = choose(files("model.safetensors", name), include=["*"])
    assert [file.path for file in choice.taken] == ["model.safetensors"]


def test_weights_in_pickles_only_are_refused_with_a_remedy() -> None:
    with pytest.raises(UnfitModel, match=r"pytorch_model\.bin: pickles.*--revision refs/pr/1"):
        choose(files("config.json", "pytorch_model.bin"))


def test_a_file_without_a_stated_digest_is_refused(importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelyard_own.hubs import huggingface

    monkeypatch.setattr(huggingface, "_file", lambda entry: RemoteFile(entry["path"], entry["size"], "git:"))
    with pytest.raises(UnfitModel, match="states no digest"):
        importer.run()


def test_a_time_that_no_calendar_has_is_no_time(importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard_devstack.testing.hub.COMMITTED_S", 10**30)
    importer.run(name=HubName.MODELSCOPE)
    assert importer.snapshot.made_at is None


def test_a_commit_is_a_folder_of_its_own(importer: Importer) -> None:
    folder = importer.run()
    assert folder == importer.cache / "127.0.0.1" / "org" / "model" / COMMIT / "files"
    assert {path.name for path in folder.parent.iterdir()} == {"files", "lock"}
