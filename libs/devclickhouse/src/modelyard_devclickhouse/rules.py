"""Statements refused for every role, because they would run with this process's rights.

The engine's grants (see `config`) already refuse table functions and engines that reach outside. These rules are
checked first and cover what grants do not: INTO OUTFILE, FROM INFILE, the scalar function file(), KILL, SHUTDOWN.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from modelyard_devclickhouse.errors import ReadOnly, Refused
from modelyard_devclickhouse.sql import Kind, Statement, Token, tokens, words

ALLOWED_TABLE_FUNCTIONS: Final = words(
    """
    sqlstandardvalues cluster clusterallreplicas dictionary format fuzzjson fuzzquery generaterandom
    generateseries generate_series input loop merge mergetreeanalyzeindexes mergetreeanalyzeindexesuuid
    mergetreecodecblockcounts mergetreeindex mergetreeprojection mergetreetextindex null numbers numbers_mt primes
    prometheusquery prometheusqueryrange timeseriesdata timeseriesmetricfamilies timeseriesmetrics
    timeseriessamples timeseriesselector timeseriestags values view viewexplain viewifpermitted zeros zeros_mt
    """
)
"""Table functions that stay inside the database; a test compares the engine's list with this and the next."""
REFUSED_CALLS: Final = words(
    """
    arrowstream arrowflight azureblobstorage azureblobstoragecluster azurequeue bigquery cosn deltalake
    deltalakeazure deltalakeazurecluster deltalakecluster deltalakelocal deltalakes3 deltalakes3cluster eval
    executable executablepool file filecluster filelog filesystem gcs hdfs hdfscluster hudi hudicluster iceberg
    icebergazure icebergazurecluster icebergcluster iceberghdfs iceberghdfscluster iceberglocal
    iceberglocalcluster icebergs3 icebergs3cluster jdbc kafka keepermap materializedpostgresql mongodb mongo mysql
    nats odbc oss paimon paimonazure paimonazurecluster paimoncluster paimonhdfs paimonhdfscluster paimonlocal
    paimonlocalcluster paimons3 paimons3cluster postgresql python queryrunner rabbitmq redis remote remotesecure
    s3 s3cluster s3queue sqlite url urlcluster ytsaurus embeddedrocksdb hive http cassandra library disk
    datalakecatalog catboostevaluate
    """
)
"""Names that must not be called, as table function, engine, dictionary source or plain function."""
REFUSED_FUNCTIONS: Final = words(
    "file aiclassify aiembed aiextract aifilter aigenerate airedact aisimilarity aitranslate"
)
"""Plain functions that reach outside. They can also be named without a call (APPLY file, arrayMap(file, ...))."""
_READER_KEYWORDS: Final = words("SELECT WITH FROM SHOW DESCRIBE DESC EXISTS EXPLAIN CHECK USE KILL")
_REFUSED_SYSTEM: Final = words("SHUTDOWN KILL SUSPEND LISTEN")


def check(statement: Statement, *, reader: bool) -> None:
    """Raise Refused or ReadOnly for statements the role may not run; the engine checks its own grants afterwards."""
    check_tokens(statement.tokens, bare_names=statement.kind is not Kind.INSERT)
    if statement.keyword == "SYSTEM" and any(t.upper in _REFUSED_SYSTEM for t in statement.tokens):
        raise Refused("SYSTEM commands that stop the server are refused: stop its process instead.")
    if reader and statement.keyword not in _READER_KEYWORDS:
        raise ReadOnly(f"Cannot execute query in readonly mode: the reader may not {statement.keyword or 'do this'}.")


def check_text(text: str) -> None:
    """Check SQL that is not a statement: an expression, a column list, a setting's value."""
    check_tokens(tuple(tokens(text.encode().decode("latin-1"))), bare_names=True)


def check_tokens(seen: Sequence[Token], *, bare_names: bool) -> None:
    hidden_sql = any(t.upper.startswith("ADDITIONAL_") or t.upper == "PARALLEL_REPLICAS_CUSTOM_KEY" for t in seen)
    for at, token in enumerate(seen):
        if token.kind == "string":
            if hidden_sql:
                check_text(_unquoted(token.text))
            continue
        if not token.name:
            continue
        before, after = (seen[at - 1].text if at else ""), (seen[at + 1].text if at + 1 < len(seen) else "")
        _check_name(token, before.upper(), after, bare_names=bare_names)


def _check_name(token: Token, before: str, after: str, *, bare_names: bool) -> None:
    name = token.name.lower()
    if token.kind == "word" and (before, name) in (("INTO", "outfile"), ("FROM", "infile")):
        raise Refused(f"{before} {token.text.upper()} is refused: files belong to the client, not to the server.")
    if after == "(" and (
        name in REFUSED_CALLS or name in REFUSED_FUNCTIONS or (token.kind == "quoted" and "\\" in name)
    ):
        raise Refused(f"{token.text}() is refused: this server reaches neither files nor the network.")
    if token.kind == "quoted" and "\\" in name and bare_names:
        raise Refused(f"the name {token.text} is refused: names with escapes are not supported here.")
    if bare_names and name in REFUSED_FUNCTIONS and before != ".":
        raise Refused(f"the name {token.text} is refused without its table: write t.{token.text} for a column.")


def check_values(data: bytes) -> None:
    """VALUES may contain expressions; check them only if they contain a refused name."""
    lowered = data.lower()
    if any(name.encode() + b"(" in lowered or name.encode() in lowered for name in REFUSED_FUNCTIONS) or b"`" in data:
        check_tokens(tuple(tokens(data.decode("latin-1"))), bare_names=True)


def check_settings(settings: Iterable[tuple[str, str]], *, reader: bool) -> None:
    """Check settings, which may contain SQL; a reader may change only harmless ones."""
    for name, value in settings:
        if "(" in value or name.startswith("additional_"):
            check_text(value)
        if reader and not name.startswith(_READER_SETTINGS):
            raise ReadOnly(f"Cannot modify '{name}' setting in readonly mode.")


_READER_SETTINGS: Final = (
    "output_format_", "format_csv", "format_tsv", "date_time_", "max_", "join_", "session_timezone", "log_comment",
    "timeout_", "cancel_http_", "enable_http_", "http_", "send_progress_", "extremes", "result_overflow_mode",
    "final", "limit", "offset", "cast_", "readonly", "low_cardinality_", "enable_analyzer", "priority",
)  # fmt: skip


def _unquoted(text: str) -> str:
    return text.strip("'").replace("\\'", "'")
