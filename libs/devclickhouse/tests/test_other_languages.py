"""Clients of other languages, as reader and as writer. They run where they are installed, and are skipped elsewhere.

`CLICKHOUSE_JAVA_CLASSPATH` names the jars of com.clickhouse:client-v2, which the JDBC driver uses; dbmate (npm)
contains clickhouse-go; node finds @clickhouse/client (`NODE_PATH`). What they send is also recorded, in test_clients,
test_blocks and test_native, which always run.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("loopback")
USERS = pytest.mark.parametrize("user", ["reader", "writer"])

PROBE = """
import com.clickhouse.client.api.*; import com.clickhouse.client.api.insert.*; import com.clickhouse.client.api.query.*;
import com.clickhouse.data.ClickHouseFormat; import java.io.*;
public class Probe {
  public static void main(String[] a) throws Exception {
    try (Client c = new Client.Builder().addEndpoint(a[0]).setUsername(a[1]).setPassword(a[2]).setDefaultDatabase("ml")
         .compressClientRequest(true).serverSetting("async_insert", "0").build()) {
      c.loadServerInfo();
      long sum = 0;
      String many = "SELECT number, repeat('x', number % 300) AS s FROM numbers(100000)";
      for (GenericRecord r : c.queryAll(many)) sum += r.getLong(1);
      System.out.println("sum " + sum);
      String zoned = "SELECT toDateTime(0, 'Asia/Tokyo') AS t";
      for (GenericRecord r : c.queryAll(zoned)) System.out.println(r.getZonedDateTime("t"));
      try { c.queryAll("SELECT nope"); } catch (Exception e) { System.out.println(e + " " + e.getCause()); }
      if (a[1].equals("writer")) {
        c.execute("CREATE OR REPLACE TABLE javas (a UInt64) ENGINE = MergeTree ORDER BY a").get().close();
        InputStream rows = new ByteArrayInputStream("1\\n2\\n".getBytes());
        try (InsertResponse r = c.insert("javas", rows, ClickHouseFormat.TSV).get()) {
          System.out.println("rows " + r.getWrittenRows());
        }
      }
    }
  }
}
"""


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@USERS
@pytest.mark.skipif("CLICKHOUSE_JAVA_CLASSPATH" not in os.environ, reason="CLICKHOUSE_JAVA_CLASSPATH is not set")
def test_the_java_client(server: Any, user: str, tmp_path: Path) -> None:
    jars = os.environ["CLICKHOUSE_JAVA_CLASSPATH"]
    source = tmp_path / "Probe.java"
    source.write_text(PROBE)
    run(["javac", "-cp", jars, str(source)])
    out = run(["java", "-cp", f"{jars}:{tmp_path}", "Probe", server.url, user, f"{user[0]}-secret"])
    assert "sum 4999950000" in out and "1970-01-01T09:00+09:00[Asia/Tokyo]" in out and "Code: 47." in out
    assert ("rows 2" in out) == (user == "writer")


@pytest.mark.skipif(shutil.which("dbmate") is None, reason="dbmate, which contains clickhouse-go, is not installed")
def test_clickhouse_go_through_dbmate(server: Any, tmp_path: Path) -> None:
    migration = tmp_path / "20260101000000_one.sql"
    migration.write_text(
        "-- migrate:up\nCREATE TABLE gone (a UInt64) ENGINE = MergeTree ORDER BY a;\n"
        "-- migrate:down\nDROP TABLE gone;\n"
    )

    def dbmate(user: str, verb: str) -> str:
        address = f"clickhouse+http://{user}:{user[0]}-secret@127.0.0.1:{server.port}/ml"
        return run(["dbmate", "--url", address, "--migrations-dir", str(tmp_path), "--no-dump-schema", verb])

    dbmate("writer", "up")
    assert "[X] 20260101000000_one.sql" in dbmate("reader", "status")
    assert server.value("EXISTS TABLE ml.gone") == "1"
    dbmate("writer", "down")
    assert "Pending: 1" in dbmate("reader", "status")


NODE = """
const { createClient } = require('@clickhouse/client');
(async () => {
  const [url, username, password] = process.argv.slice(2);
  const compression = { response: true, request: true };
  const c = createClient({ url, username, password, database: 'ml', compression, log: { level: 127 } });
  let n = 0;
  const rows = await c.query({ query: 'SELECT number FROM numbers(100000)', format: 'JSONCompactEachRow' });
  for await (const some of rows.stream()) n += some.length;
  console.log('rows', n);
  const bound = await c.query({ query: 'SELECT {s:String} AS s', query_params: { s: "it's" }, format: 'JSONEachRow' });
  console.log(JSON.stringify(await bound.json()));
  await c.query({ query: 'SELECT nope' }).catch(e => console.log(e.code, e.type));
  if (username === 'writer') {
    await c.command({ query: 'CREATE OR REPLACE TABLE nodes (a UInt64) ENGINE = MergeTree ORDER BY a' });
    await c.insert({ table: 'nodes', values: [{ a: 1 }, { a: 2 }], format: 'JSONEachRow' });
    console.log('sum', await (await c.query({ query: 'SELECT sum(a) FROM nodes', format: 'TabSeparated' })).text());
  }
  await c.close();
})();
"""


def _node_has_the_client() -> bool:
    node = shutil.which("node")
    probe = [str(node), "-e", "require.resolve('@clickhouse/client')"]
    return node is not None and subprocess.run(probe, capture_output=True, check=False).returncode == 0


@USERS
@pytest.mark.skipif(not _node_has_the_client(), reason="node does not find @clickhouse/client (set NODE_PATH)")
def test_the_node_client(server: Any, user: str, tmp_path: Path) -> None:
    script = tmp_path / "probe.js"
    script.write_text(NODE)
    out = run(["node", str(script), server.url, user, f"{user[0]}-secret"])
    assert "rows 100000" in out and """[{"s":"it's"}]""" in out and "47 UNKNOWN_IDENTIFIER" in out
    assert ("sum 3" in out) == (user == "writer")
