"""Statements are split where the engine's lexer splits them."""

import pytest

from modelyard_devclickhouse.errors import BadRequest, Refused, SyntaxProblem
from modelyard_devclickhouse.rules import MAX_EXPRESSIONS_BYTES, check_values
from modelyard_devclickhouse.sql import Kind, parse, parse_insert, tokens


def texts(sql: str) -> list[str]:
    return [token.text for token in tokens(sql)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 'a''b\\'c'", ["SELECT", "'a''b\\'c'"]),
        ("SELECT 1 -- it's\n, 2", ["SELECT", "1", ",", "2"]),
        ("SELECT 1 # it's\n, 2 #! it's", ["SELECT", "1", ",", "2"]),
        ("a/* ' */b", ["a", "b"]),
        ("x'41\\' b", ["x'41\\'", "b"]),
        ("$t$ ; ' $t$ z", ["$t$ ; ' $t$", "z"]),
        ('`a``b` "c"', ["`a``b`", '"c"']),
        ("file\xc2\xa0(", ["file", "("]),
    ],
)
def test_tokens_are_the_engines(sql: str, expected: list[str]) -> None:
    assert texts(sql) == expected


@pytest.mark.parametrize("sql", ["SELECT 'a", 'SELECT "a', "SELECT `a", "SELECT /* a"])
def test_a_quote_or_comment_without_end_is_an_error(sql: str) -> None:
    with pytest.raises(SyntaxProblem):
        list(tokens(sql))


@pytest.mark.parametrize(
    ("sql", "format"),
    [
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("SELECT 1\nformat JSON;", "JSON"),
        ("SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "JSON"),
        ("SELECT {a:String} FORMAT Native", "Native"),
        ("SELECT * FROM t ORDER BY format DESC", None),
        ("SELECT 1 AS format", None),
        ("SELECT 'FORMAT JSON'", None),
        ("SELECT format('{}', a) FROM t", None),
        ("SELECT (SELECT 1 format JSON)", None),
        ("SHOW TABLES FORMAT CSV", "CSV"),
    ],
)
def test_the_format_clause_is_found_and_nothing_else(sql: str, format: str | None) -> None:
    assert parse(sql).format == format


def test_only_one_statement_at_a_time() -> None:
    assert parse("SELECT 1; ; -- end").kind is Kind.SELECT
    assert parse("SELECT ';'").kind is Kind.SELECT
    with pytest.raises(SyntaxProblem, match="Multi-statements"):
        parse("SELECT 1; SELECT 2")
    with pytest.raises(SyntaxProblem, match="Empty"):
        parse(" -- nothing")


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("(SELECT 1) UNION ALL (SELECT 2)", Kind.SELECT),
        ("FROM t SELECT 1", Kind.SELECT),
        ("WITH 1 AS x SELECT x", Kind.SELECT),
        ("/* c */ describe t", Kind.RESULT),
        ("INSERT INTO t SELECT 1", Kind.COMMAND),
        ("CREATE TABLE t (a Int8) ENGINE = Memory", Kind.COMMAND),
    ],
)
def test_a_statement_is_sorted_by_what_it_answers(sql: str, kind: Kind) -> None:
    assert parse(sql).kind is kind


@pytest.mark.parametrize(
    ("sql", "head", "format", "data"),
    [
        ("INSERT INTO t FORMAT CSV\n1,2;3", "INSERT INTO t ", "CSV", "1,2;3"),
        ("INSERT INTO db.`t` (a, b) SETTINGS x = 1 FORMAT Native\r\n\x00\xff", None, "Native", "\x00\xff"),
        ('INSERT INTO t FORMAT JSONEachRow {"a": 1}', None, "JSONEachRow", '{"a": 1}'),
        ("INSERT INTO t VALUES (1, ')')", "INSERT INTO t ", "Values", " (1, ')')"),
        ("INSERT INTO format VALUES (1)", "INSERT INTO format ", "Values", " (1)"),
        ("INSERT INTO ml.format FORMAT CSV\n1", "INSERT INTO ml.format ", "CSV", "1"),
        ("INSERT INTO t (format, values) FORMAT CSV\n1,2", "INSERT INTO t (format, values) ", "CSV", "1,2"),
    ],
)
def test_an_insert_is_cut_at_its_data(sql: str, head: str | None, format: str, data: str) -> None:
    found = parse_insert(sql, whole=True)
    assert found is not None and found.format == format
    assert sql[found.data_at :] == data
    assert head is None or sql[: found.cut] == head


def test_an_insert_waits_for_the_rest_of_its_head() -> None:
    sql = "INSERT INTO t (a, b) FORMAT CSV\n1,2"
    cuts = [parse_insert(sql[:end], whole=False) for end in range(12, len(sql))]
    found = [cut for cut in cuts if cut]
    assert found and all(cut.format == "CSV" and cut.data_at == sql.index("1,2") for cut in found)
    assert parse_insert("INSERT INTO t SELECT 1 FORMAT CSV", whole=True) is None


def test_a_large_insert_of_literals_costs_little_and_one_of_expressions_is_bounded() -> None:
    row = b"(1, -2.5, 'it''s \\'file(x)\\' -- /*', NULL, true, [1, 2], {'k': 'v'}), "
    check_values(row * (MAX_EXPRESSIONS_BYTES // len(row) + 1))
    check_values(b"(now(), upper('x')), " * 1000)
    with pytest.raises(BadRequest, match="send literals only"):
        check_values(b"(now()), " * (MAX_EXPRESSIONS_BYTES // 9 + 1))


@pytest.mark.parametrize(
    "data", [b"(1), (file('x'))", b"(NULL, `file`('x'))", b"(1) -- '\n, (file('x'))", b"(nullfile(file('x')))"]
)
def test_a_call_among_literals_is_found(data: bytes) -> None:
    with pytest.raises(Refused):
        check_values(data)
