"""A bought model on a real stack: registered through a connection, tried, approved, deployed, asked, and refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform
from modelyard_devstack.testing import wait_until
from modelyard_devstack.testing.openai import KEY, fake_provider

CONNECTION = """\
endpoint: {url}
allow_http: true
secret: OPENAI_API_KEY
models:
  small-1: {{context_tokens: 8192, input_per_million_tokens: 1000, output_per_million_tokens: 2000, per_call: 0.5}}
"""
pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_bought_model_serves_like_any_language_model(stack_dir: Path, platform: Platform, tmp_path: Path) -> None:
    def run(*arguments: str, given: str | None = None) -> Result:
        return CliRunner().invoke(app, [*arguments, "--data-dir", str(stack_dir)], input=given)

    (tmp_path / "prompts.csv").write_text("text\nto be or not to be\nhello\n")
    (stack_dir / "provider-keys" / "OPENAI_API_KEY").write_text(f"{KEY}\n")
    bought = ["--connection", "openai", "--provider-model", "small-1", "--sample", str(tmp_path / "prompts.csv")]
    with fake_provider() as provider:
        (tmp_path / "openai.yaml").write_text(CONNECTION.format(url=provider.url))
        result = run("connections", "set", "openai", str(tmp_path / "openai.yaml"))
        assert result.exit_code == 0, result.output
        result = run("register", *bought, "help", "--reason", "contract 7")
        assert result.exit_code == 0, result.output
        assert len(provider.calls) == 1, "the trial is one call"

        stage = platform.registry.version("help", 1).stage
        assert stage in ("evaluated", "approved", "canary", "live"), result.output
        if stage == "evaluated":
            result = run("approve", "help", "1", "--reason", "read its answers")
            assert result.exit_code == 0, result.output
        wait_until(lambda: run("generate", "help", "hello").exit_code == 0, 120, what="the model to serve")
        version = platform.registry.version("help", 1)
        result = run("generate", "help", "to be or", "-o", "json")
        answer = json.loads(result.output)
        assert (answer["text"], answer["model"], answer["version"]) == ("to be or ", "help", 1)
        assert (answer["digest"], answer["usage"]) == (version.digest, {"input_tokens": 3, "output_tokens": 3})
        assert "how are you" in run("chat", "help", given="how are you\n").output
        assert [message["content"] for message in provider.calls[-1]["messages"]] == ["how are you"]

        def cost_of_a_call() -> float:
            call = json.loads(run("generate", "help", "to be or", "-o", "json").output)["generation_id"]
            return float(wait_until(lambda: _cost(platform, call), 60, what=f"the record of {call}"))

        first = answer["generation_id"]
        assert cost_of_a_call() == pytest.approx(0.5 + 3 * 0.001 + 3 * 0.002)
        (tmp_path / "openai.yaml").write_text(CONNECTION.format(url=provider.url).replace("0.5", "0.25"))
        changed = run("connections", "set", "openai", str(tmp_path / "openai.yaml"), "--reason", "new contract")
        assert changed.exit_code == 0, changed.output
        wait_until(lambda: cost_of_a_call() == pytest.approx(0.25 + 3 * 0.001 + 3 * 0.002), 30, what="the new price")
        assert _cost(platform, first) == pytest.approx(0.5 + 3 * 0.001 + 3 * 0.002)
        assert platform.registry.version("help", 1).digest == version.digest

        provider.status, provider.headers = 429, {"retry-after": "2"}
        result = run("generate", "help", "hello")
        assert result.exit_code == 1 and "connection openai: the provider answered 429" in " ".join(
            result.output.split()
        )
        provider.status = 200
        wait_until(lambda: run("generate", "help", "hello").exit_code == 0, 30)

        (stack_dir / "provider-keys" / "OPENAI_API_KEY").write_text("withdrawn\n")
        wait_until(lambda: "does not accept the key" in " ".join(run("generate", "help", "hello").output.split()), 60)
        assert _mentions(stack_dir, KEY) == []


def _mentions(folder: Path, secret: str) -> list[str]:
    """Files of the stack that hold a secret."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if secret.encode() in path.read_bytes()]


def _cost(platform: Platform, generation: str) -> float | None:
    """Recorded cost in US dollars; None while the generation is not stored."""
    sql = "SELECT cost_usd FROM generations WHERE generation_id = {id:String}"
    found = platform.query(sql, {"id": generation})
    return float(found[0]["cost_usd"]) if found else None
