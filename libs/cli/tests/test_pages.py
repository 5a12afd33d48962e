"""What the pages promise is there: every link, every verb, every target, a page for each library and service."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from modelyard_cli.__main__ import app

ROOT = Path(__file__).parents[3]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/*/README.md")])
VERBS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
TARGETS = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


TEMPLATES = sorted((ROOT / "services/console/src/modelyard_console/templates").glob("*.html"))
COPIED = re.compile(r"""["'>](modelyard (?:[^"'<]|" ~ [^"]*? ~ ")*)["'<]""")
"""A command in a template; an expression between its texts stands for one word."""


def title(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not link.startswith("http"):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_verb_and_target_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r"(?:`|bin/)modelyard ([a-z][a-z-]*)", text)) <= VERBS
    assert set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", text, re.MULTILINE)) <= TARGETS


def test_every_library_and_service_has_its_page_and_every_verb_is_on_the_commands_one() -> None:
    members = [path.parent for path in ROOT.glob("*/*/pyproject.toml")]
    assert len(members) >= 15
    assert [member.name for member in members if not (member / "README.md").is_file()] == []
    named = set(re.findall(r"`([a-z-]+)[ `\[]", (ROOT / "libs" / "cli" / "README.md").read_text()))
    assert VERBS - named == set()


def commands(template: Path) -> list[list[str]]:
    """The commands that a page of the console offers to copy, as words."""
    found = COPIED.findall(template.read_text())
    return [shlex.split(re.sub(r'" ~ .*? ~ "|" ~ .*$', "VALUE", text))[1:] for text in found]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_command_of_the_console_can_be_copied(template: Path) -> None:
    for words in commands(template):
        command, rest = typer.main.get_command(app), list(words)
        while inner := getattr(command, "commands", None):
            assert rest and rest[0] in inner, words
            command = inner[rest.pop(0)]
        options = {name for one in command.params for name in one.opts}
        assert {word for word in rest if word.startswith("--")} <= options, words


def test_the_console_offers_commands_to_copy() -> None:
    assert sum(len(commands(template)) for template in TEMPLATES) >= 20
