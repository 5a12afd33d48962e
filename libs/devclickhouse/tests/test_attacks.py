"""The first wall alone: each attempt is refused before the engine opens anything.

The second wall would answer "Permission denied" (errno 13): an attempt that reaches it fails here, too.
"""

from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.usefixtures("loopback")

FORMATS = [
    "TSV INTO OUTFILE '{out}'",
    "TSV\nSETTINGS output_format_schema = '{out}'",
    "TSV; SELECT file('{file}')",
    "TSV --",
    "`TSV`",
    "'TSV'",
    "TSV'",
    "Template",
    "template",
    "Protobuf",
    "AvroConfluent",
    "MySQLWire",
    "nothing",
]
STATEMENTS = [
    # the lexer: comments that nest, comments of two slashes, heredocs after a number, numbers that end in a sign
    "SELECT /* /* */ ' */ file('{file}') -- '",
    "SELECT 1 // ' \n, file('{file}') // '",
    "SELECT 1,2$$'$$, file('{file}'), $$'$$",
    "SELECT 1$$ /* $$, file('{file}') -- */",
    "SELECT a$$'$$, file('{file}'), $$'$$",
    "SELECT 1.e--file('{file}')",
    "SELECT 1.5nan$$'$$, file('{file}'), $$'$$",
    "SELECT FILE\u3000('{file}')",
    "SELECT \u201cfile\u201d('{file}')",
    "SELECT 1 INTO // \n OUTFILE '{out}'",
    "SELECT 1 INTO\u00a0OUTFILE '{out}'",
    "SELECT 1\x00 INTO OUTFILE '{out}'",
    # texts that hold SQL: data in format Values, structures with defaults, sources of dictionaries
    "SELECT * FROM format(Values, 'a String', '(file(''{file}''))')",
    "SELECT * FROM format('Val\\x75es', 'a String', '(file(''{file}''))')",
    "SELECT * FROM format(x'56616c756573', 'a String', '(file(''{file}''))')",
    "SELECT * FROM format(b'010101100110000101101100011101010110010101110011', 'a String', '(file(''{file}''))')",
    "SELECT * FROM format($x$Values$x$, 'a String', '(file(''{file}''))')",
    "SELECT * FROM `format`(`Values`, 'a String', '(file(''{file}''))')",
    "SELECT * FROM format({f:String}, 'a String', '(file(''{file}''))')",
    "SELECT * FROM format({f:Identifier}, 'a String', '(file(''{file}''))')",
    "SELECT * FROM format(('Values'), 'a String', '(file(''{file}''))')",
    "SELECT * FROM format(concat('Val', 'ues'), 'a String', '(file(''{file}''))')",
    "WITH 'Values' AS v SELECT * FROM format(v, 'a String', '(file(''{file}''))')",
    "DESCRIBE TABLE format(Values, '(file(''{file}''))')",
    "SELECT a FROM format(TSKV, 'x UInt8, a String DEFAULT file(''{file}'')', 'x=1\n')",
    "SELECT a FROM format(TSKV, 'x UInt8, a DEFAULT file(''{file}'')', 'x=1\n')",
    "SELECT a FROM format(TSKV, 'x UInt8, a String MATERIALIZED upper(''x'')', 'x=1\n')",
    "SELECT a FROM format(TSKV, $$x UInt8, a String DEFAULT `file`('{file}')$$, 'x=1\n')",
    "SELECT a FROM format(TSKV, concat('x UInt8, a String DEFAULT fi', 'le(''{file}'')'), 'x=1\n')",
    "SELECT a FROM format(TSKV, {s:String}, 'x=1\n')",
    "WITH 'x UInt8, a String DEFAULT file(''{file}'')' AS s SELECT a FROM format(TSKV, s, 'x=1\n')",
    "SELECT * FROM format(Template, 'a String', 'x')",
    "SELECT * FROM values('a String DEFAULT file(''{file}'')', 'x')",
    "SELECT * FROM values('a String', file('{file}'))",
    "SELECT * FROM generateRandom('a String DEFAULT file(''{file}'')') LIMIT 1",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT file('{file}')))",
    # settings that hold a path or SQL, in every place where a setting may stand
    "SELECT 1 SETTINGS select = 'file(''{file}'')'",
    "SELECT 1 SETTINGS `select` = 'file(''{file}'')'",
    "SELECT 1 SETTINGS \"sel\\x65ct\" = 'file(''{file}'')'",
    "SELECT 1 SETTINGS max_threads = 1, filter = 'file(''{file}'') = 1'",
    "SELECT 1 SETTINGS max_threads = 1.5, filter = '1'",
    "SELECT 1 SETTINGS max_threads = -1, filter = '1'",
    "SELECT 1 SETTINGS join_algorithm = ['hash'], filter = '1'",
    "SELECT 1 SETTINGS max_threads = toUInt8(1), filter = '1'",
    "SELECT * FROM (SELECT 1 SETTINGS filter = '1')",
    "SELECT 1 SETTINGS additional_table_filters = {'system.one': 'file(''{file}'') = 1'}",
    "SELECT 1 SETTINGS dialect = 'kusto'",
    "SELECT 1 SETTINGS default_format = 'Template'",
    "SELECT 1 FORMAT Template SETTINGS format_template_row = '{file}'",
    "SELECT 1 AS a FORMAT Protobuf SETTINGS output_format_schema = '{out}'",
    "SELECT * FROM format(CSV, 'a UInt8', 'x') SETTINGS input_format_record_errors_file_path = '{out}'",
    "EXPLAIN PLAN SELECT 1 SETTINGS filter = '1'",
    # formats beside the checked one
    "SELECT 1 FORMAT `TSV INTO OUTFILE '{out}'`",
    "SELECT 1 FORMAT 'TSV'",
    "SELECT 1 FORMAT $$TSV$$",
    "SELECT 1 FORMAT `Template`",
    "SELECT 1 FORMAT TSV FORMAT Template",
    "SHOW TABLES FORMAT Template",
    "SHOW TABLES FORMAT `TSV INTO OUTFILE '{out}'`",
    "SHOW DATABASES INTO OUTFILE '{out}'",
    "DESCRIBE (SELECT 1) INTO OUTFILE '{out}'",
    "(SELECT 1) UNION ALL (SELECT 2 INTO OUTFILE '{out}')",
    # names of files where a table, a function or a type may stand
    "SELECT * FROM _files.`{file}`",
    "SELECT * FROM {d:Identifier}.{t:Identifier}",
    "SELECT * FROM {t:Identifier}",
    "SELECT * FROM merge('_files', '.*')",
    "SELECT * FROM loop('_files', '{file}')",
    "SELECT * FROM dictionary('{file}')",
    "SELECT dictGet('{file}', 'a', 1)",
    "USE _files",
    "DESCRIBE `{file}`",
    "SHOW CREATE TABLE `{file}`",
    "SELECT '{file}' |> file",
    "FROM system.one |> SELECT file('{file}')",
    "SELECT CAST('{file}', 'file')",
    "SELECT system.file('{file}')",
    "SELECT catboostEvaluate('{file}', 1)",
    "SELECT aiGenerate('x')",
    "SELECT addressToLine(1)",
    "SELECT regionToName(1)",
    # statements of other kinds
    "SELECT 1 PARALLEL WITH SELECT 2",
    "EXECUTE AS default SELECT 1",
    "EXPLAIN TABLE OVERRIDE mysql('a', 'b', 'c', 'd', 'e') x",
    "SET dialect = 'kusto'",
    "COPY system.one TO '{out}'",
    "BACKUP TABLE system.one TO File('{out}')",
    "BACKUP TABLE system.one TO Null",
    "BEGIN TRANSACTION",
    "GRANT ALL ON *.* TO default",
]
WRITER_STATEMENTS = [
    "CREATE TABLE ml.h3 (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = 'x'",
    "CREATE TABLE ml.h3 (a String) ENGINE = MergeTree ORDER BY a SETTINGS `disk` = disk(type = local, path = '{out}/')",
    "CREATE TABLE ml.h3 ENGINE = File(CSV, '{out}') AS SELECT 1",
    "CREATE TABLE ml.h3 (a String) ENGINE = `File`(CSV)",
    "CREATE TABLE ml.h3 (a String) ENGINE File(CSV)",
    "CREATE TABLE ml.h3 AS format(Values, 'a String', '(file(''{file}''))')",
    "CREATE VIEW ml.h3 AS SELECT * FROM format(Values, 'a String', '(file(''{file}''))')",
    "CREATE MATERIALIZED VIEW ml.h3 (a String) ENGINE = Memory AS SELECT file('{file}') AS a",
    "CREATE TABLE ml.h3 (a String, INDEX i file('{file}') TYPE minmax) ENGINE = MergeTree ORDER BY a",
    "CREATE TABLE ml.h3 (a String EPHEMERAL file('{file}'), b String) ENGINE = Memory",
    "CREATE TABLE ml.h3 (a String) ENGINE = Join(ANY, LEFT, a) SETTINGS disk = 'x', persistent = 1",
    "CREATE DICTIONARY ml.h3 (a String) PRIMARY KEY a SOURCE(CLICKHOUSE(QUERY 'SELECT file(''{file}'')')) "
    "LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "CREATE DICTIONARY ml.h3 (a String) PRIMARY KEY a SOURCE(CLICKHOUSE(QUERY $$SELECT file('{file}')$$)) "
    "LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "CREATE DICTIONARY ml.h3 (a String) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 'one' DB 'system' "
    "WHERE 'file(''{file}'') = ''x''')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "CREATE DICTIONARY ml.h3 (a String) PRIMARY KEY a SOURCE(YAMLRegExpTree(PATH '{file}')) LAYOUT(REGEXP_TREE()) "
    "LIFETIME(0)",
    "CREATE DICTIONARY ml.h3 (a String) PRIMARY KEY a SOURCE(EXECUTABLE(command 'id' format TSV)) "
    "LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "CREATE DICTIONARY ml.h3 (a UInt64) PRIMARY KEY a SOURCE(NULL()) LAYOUT(SSD_CACHE(PATH '{out}')) LIFETIME(0)",
    "ATTACH TABLE ml.h3 FROM '{folder}' (a String) ENGINE = MergeTree ORDER BY a",
    "ATTACH TABLE ml.h3 FROM $${folder}$$ (a String) ENGINE = MergeTree ORDER BY a",
    "ATTACH TABLE ml.h3 /**/ FROM \u2018{folder}\u2019 (a String) ENGINE = MergeTree ORDER BY a",
    "ALTER TABLE ml.attacked FREEZE",
    "ALTER TABLE ml.attacked FREEZE WITH NAME '../../../../x'",
    "ALTER TABLE ml.attacked FETCH PARTITION tuple() FROM '/x'",
    "ALTER TABLE ml.attacked ATTACH PART '../../../x'",
    "ALTER TABLE ml.attacked MODIFY SETTING disk = 'x'",
    "ALTER TABLE ml.attacked MODIFY SETTING storage_policy = 'x'",
    "ALTER TABLE ml.attacked MOVE PARTITION tuple() TO DISK 'x'",
    "ALTER TABLE ml.attacked ADD COLUMN b String DEFAULT `file`('{file}')",
    "ALTER TABLE ml.attacked ADD PROJECTION p (SELECT file('{file}'))",
    "ALTER TABLE ml.attacked UPDATE a = file('{file}') WHERE 1",
    "DELETE FROM ml.attacked WHERE file('{file}') = 'x'",
    "INSERT INTO ml.attacked VALUES (`fil\\x65`('{file}'))",
    "INSERT INTO ml.attacked VALUES (\"fil\\x65\"('{file}'))",
    "INSERT INTO ml.attacked VALUES (/* /* */ ' */ file('{file}') -- '\n)",
    "INSERT INTO ml.attacked FORMAT `vAlUeS` (file('{file}'))",
    "INSERT INTO ml.attacked FORMAT values (file('{file}'))",
    "INSERT INTO ml.attacked VALUES ('x'), (arrayElement(arrayMap(file, ['{file}']), 1))",
    "INSERT INTO ml.attacked FORMAT Template x",
    "INSERT INTO ml.attacked SETTINGS input_format_record_errors_file_path = '{out}' FORMAT CSV\nx",
    "INSERT INTO TABLE FUNCTION `file`('{out}', 'CSV', 'a String') SELECT 'x'",
    "CREATE FUNCTION h3 AS x -> file(x)",
    "CREATE DATABASE h3 ENGINE = `Filesystem`('/')",
    "CREATE DATABASE h3 ENGINE = Backup('x', Disk('d', 'x'))",
    "CREATE NAMED COLLECTION h3 AS url = 'file:///etc/passwd'",
    "CREATE USER h3",
    "CREATE WORKLOAD h3",
    "SYSTEM JEMALLOC FLUSH PROFILE",
    "SYSTEM UNFREEZE WITH NAME 'x'",
    "SYSTEM ENABLE FAILPOINT x",
    "SYSTEM RESTART DISK x",
    "SYSTEM RELOAD CONFIG",
    "SET `select` = 'x'",
    "SET max_threads = 1, output_format_schema = '{out}'",
]
PARAMETERS = [
    ("select", "file('{file}')"),
    ("filter", "1"),
    ("order", "1"),
    ("format_schema", "{file}:X"),
    ("format_schema_source", "query"),
    ("output_format_schema", "{out}"),
    ("format_template_row", "{file}"),
    ("input_format_record_errors_file_path", "{out}"),
    ("rename_files_after_processing", "x"),
    ("schema_inference_hints", "a String DEFAULT file('{file}')"),
    ("implicit_table_at_top_level", "{file}"),
    ("dialect", "kusto"),
    ("Filter", "1"),
    ("SELECT", "1"),
    ("url_base", "file:///"),
    ("http_response_headers", "{'Set-Cookie': 'a'}"),
    ("session_timezone", "../../../..{file}"),
    ("database", "_files"),
    ("database", "{folder}"),
    ("database", "default`; DROP DATABASE ml; --"),
    ("max_threads = 1, filter", "1"),
    ("query_id", "a\r\nSet-Cookie: b"),
    ("query_id", "a' OR 1 = 1 --\x1b[31m"),
]
EXTERNAL = [
    ("Values", "a String"),
    ("vAlUeS", "a String"),
    ("Template", "a String"),
    ("CSV SETTINGS x = 1", "a String"),
    ("CSV' --", "a String"),
    ("CSV", "a String DEFAULT file('{file}')"),
    ("CSV", "a String MATERIALIZED upper('x')"),
    ("CSV", "`a` String ALIAS upper('x')"),
    ("CSV", "a String) ENGINE = File(CSV, '{out}') --"),
    ("CSV", "a String /* /* */ ' */ DEFAULT file('{file}') -- '"),
]


class Places:
    """A secret file, a file that must not appear and a folder that must stay."""

    def __init__(self, folder: Path) -> None:
        self.file, self.out, self.folder = folder / "secret", folder / "out", folder / "folder"
        self.file.write_text("top-secret-7351\n")
        self.folder.mkdir()

    def fill(self, text: str) -> str:
        for key in ("file", "out", "folder"):
            text = text.replace("{" + key + "}", str(getattr(self, key)))
        return text

    def refused(self, answer: httpx.Response) -> None:
        """Check that the answer is an error, that the engine opened nothing, and that nothing was changed."""
        assert answer.status_code >= 400, answer.text
        assert "X-ClickHouse-Exception-Code" in answer.headers
        assert "errno" not in answer.text and "ermission denied" not in answer.text
        assert "top-secret" not in answer.text and "set-cookie" not in answer.headers
        assert self.file.exists() and self.folder.is_dir() and not self.out.exists()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def table(server: Any) -> None:
    server.value("CREATE TABLE IF NOT EXISTS ml.attacked (a String) ENGINE = MergeTree ORDER BY a")


@pytest.mark.parametrize("user", ["writer", "reader"])
@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_statement_that_would_reach_a_file_is_refused(server: Any, places: Places, sql: str, user: str) -> None:
    structure = places.fill("x UInt8, a String DEFAULT file('{file}')")
    given = {"param_f": "Values", "param_s": structure, "param_d": "_files", "param_t": str(places.file)}
    places.refused(server.ask(places.fill(sql), user, **given))


@pytest.mark.parametrize("sql", WRITER_STATEMENTS)
def test_a_change_that_would_reach_a_file_is_refused(server: Any, places: Places, sql: str) -> None:
    places.refused(server.ask(places.fill(sql)))
    assert server.value("SELECT count() FROM ml.attacked") == "0"
    assert server.value("SELECT count() FROM system.tables WHERE name = 'h3'") == "0"


@pytest.mark.parametrize("user", ["writer", "reader"])
@pytest.mark.parametrize("format", FORMATS)
def test_no_text_enters_by_the_default_format(server: Any, places: Places, format: str, user: str) -> None:
    named = places.fill(format)
    places.refused(server.ask("SELECT 1", user, default_format=named))
    header = {"X-ClickHouse-Format": named.replace("\n", " ")}
    auth = (user, {"writer": "w-secret", "reader": "r-secret"}[user])
    places.refused(httpx.post(server.url, content="SELECT 1", headers=header, auth=auth))


@pytest.mark.parametrize("user", ["writer", "reader"])
@pytest.mark.parametrize(("name", "value"), PARAMETERS)
def test_no_path_or_sql_enters_by_a_parameter(server: Any, places: Places, name: str, value: str, user: str) -> None:
    places.refused(server.ask("SELECT now()", user, **{name: places.fill(value)}))


@pytest.mark.parametrize("user", ["writer", "reader"])
@pytest.mark.parametrize(("format", "structure"), EXTERNAL)
def test_external_tables_hold_only_data(server: Any, places: Places, format: str, structure: str, user: str) -> None:
    given = {"query": "SELECT * FROM e", "e_format": format, "e_structure": places.fill(structure)}
    auth = (user, {"writer": "w-secret", "reader": "r-secret"}[user])
    data = places.fill("(file('{file}'))").encode()
    places.refused(httpx.post(server.url, params=given, files={"e": data}, auth=auth))
