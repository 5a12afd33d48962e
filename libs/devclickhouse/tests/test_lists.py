"""Our lexer and our lists against the engine's own: a new version of the engine cannot add to what is allowed."""

import json
import random
from typing import Any, Final

import pytest

from modelyard_devclickhouse import allowed
from modelyard_devclickhouse.errors import SyntaxProblem
from modelyard_devclickhouse.sql import tokens, words

pytestmark = pytest.mark.usefixtures("loopback")

PIECES: Final = [
    *sorted(
        words("' \" ` $ $$ $a$ /* */ -- // # #! \\ 1 0x1f 1e5 1_0 1_ 1. .5 . a file x' b'41' ( ) , ; '' `` { } : = ! |")
    ),
    *sorted(
        words(
            "|> @ < > + - * / % ? ~ [ ] 0b1 0x e E1 0x1p3 _ é \u2018 \u2019 \u201c \u201d \u2212 \\' 9a 0x1.8 inf nan"
        )
    ),
    *" \n\t\r\u00a0\ufeff",
]
KINDS: Final = {"StringLiteral": "string", "HereDoc": "string", "QuotedIdentifier": "quoted", "BareWord": "word"}
LEXED: Final = (
    "SELECT arrayStringConcat(arrayMap(t -> concat(toString(t.1), ':', toString(t.2), ':', toString(t.3)), "
    "tokenizeQuery(text)), ',') FROM texts ORDER BY n"
)
TEXTS, ROUNDS = 250, 8


def of_engine(server: Any, texts: list[str]) -> list[list[tuple[int, int, str]] | None]:
    """Return strings, quoted names and words of each text; None if its lexer finds an error."""
    lines = "".join(json.dumps({"n": n, "text": text}) + "\n" for n, text in enumerate(texts))
    given = {"query": LEXED, "texts_format": "JSONEachRow", "texts_structure": "n UInt32, text String"}
    auth = ("reader", "r-secret")
    answer = server.client.post(server.url, params=given, files={"texts": lines.encode()}, auth=auth)
    assert answer.status_code == 200, answer.text
    found: list[list[tuple[int, int, str]] | None] = []
    for line in answer.text.split("\n")[: len(texts)]:
        parts = [part.split(":") for part in line.split(",") if part]
        failed = any(kind.startswith("Error") for _, _, kind in parts)
        found.append(None if failed else [(int(a), int(b), KINDS[kind]) for a, b, kind in parts if kind in KINDS])
    return found


def of_ours(text: str) -> list[tuple[int, int, str]] | None:
    try:
        return [(t.start, t.end, t.kind) for t in tokens(text.encode().decode("latin-1")) if t.kind != "op"]
    except SyntaxProblem:
        return None


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_no_word_or_quote_of_the_engines_lexer_is_hidden_from_ours(server: Any, seed: int) -> None:
    """Ours may refuse a text that the engine accepts, and split numbers differently; it must not see less."""
    choose = random.Random(seed)
    texts = ["".join(choose.choices(PIECES, k=choose.randint(2, 14))) for _ in range(TEXTS)]
    compared = 0
    for text, engine in zip(texts, of_engine(server, texts), strict=True):
        ours = of_ours(text)
        if engine is None or ours is None:
            continue
        raw = text.encode().decode("latin-1")
        words = [t for t in engine if not (t[2] == "word" and raw[t[0]].isdigit())]
        assert set(words) <= set(ours), text
        assert [t for t in ours if t[2] != "word"] == [t for t in engine if t[2] != "word"], text
        compared += 1
    assert compared > TEXTS // 20


def test_every_allowed_name_is_one_of_the_engine(server: Any) -> None:
    outputs = set(server.value("SELECT name FROM system.formats WHERE is_output").split())
    inputs = set(server.value("SELECT name FROM system.formats WHERE is_input").split())
    assert outputs >= allowed.OUTPUT_FORMATS
    assert inputs >= allowed.INPUT_FORMATS
    settings = set(server.value("SELECT name FROM system.settings").split())
    assert settings >= allowed.READER_SETTINGS | allowed.INERT_SETTINGS | allowed.WRITER_TEXT_SETTINGS


def test_every_format_is_allowed_or_refused_on_purpose(server: Any) -> None:
    known = {name.lower() for name in allowed.OUTPUT_FORMATS | allowed.INPUT_FORMATS} | {"values"}
    formats = set(server.value("SELECT lower(name) FROM system.formats").split())
    assert formats - known - allowed.REFUSED_FORMATS == set()


def test_every_setting_with_free_text_is_allowed_or_refused_on_purpose(server: Any) -> None:
    texts = set(server.value("SELECT name FROM system.settings WHERE type IN ('String', 'Map', 'URI')").split())
    listed = allowed.REFUSED_SETTINGS | allowed.WRITER_TEXT_SETTINGS | allowed.READER_SETTINGS | allowed.INERT_SETTINGS
    assert texts - listed == set()
    assert not allowed.REFUSED_SETTINGS & (allowed.READER_SETTINGS | allowed.INERT_SETTINGS)


def test_every_text_setting_of_tables_is_known(server: Any) -> None:
    texts = set(server.value("SELECT name FROM system.merge_tree_settings WHERE type = 'String'").split())
    harmless = {
        "storage_policy", "exclude_materialize_skip_indexes_on_merge", "merge_workload", "mutation_workload",
        "auto_statistics_types", "cache_populated_by_fetch_filename_regexp", "marks_compression_codec",
        "primary_key_compression_codec", "columns_to_prewarm_mark_cache", "default_compression_codec",
    }  # fmt: skip
    assert texts - harmless - allowed.REFUSED_SETTINGS == set()


@pytest.mark.parametrize("name", sorted(allowed.PATH_SETTINGS))
def test_the_engines_own_constraints_fix_settings_of_paths_and_sql(server: Any, name: str) -> None:
    readonly = server.value(f"SELECT readonly FROM system.settings WHERE name = '{name}'")
    assert readonly == "1"
