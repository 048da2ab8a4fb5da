"""Questions about stored flows: the lazy table `flows`, and the command `kedro query`."""

import ast
import re
import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import DAY, DAY_BEFORE, NEXT_DAY, ROOT, SMALL_DAY, Project

from network_anomalies.cli.query_commands import choose_range
from network_anomalies.datasets.flow_range import choose_span
from network_anomalies.errors import ProjectError, explain

COUNT = "SELECT count(*) AS flows FROM flows"


def ingest(project: Project, *days: str, events: int = 20) -> None:
    for day in days:
        project.run(logical_date=day, generator__n_events=events)


def count(table) -> int:
    return table.aggregate("count(*)").fetchall()[0][0]


def ask(project: Project, sql: str, *options: str) -> subprocess.CompletedProcess[str]:
    return project.invoke("query", sql, "--env", project.env, *options)


def test_the_table_holds_the_current_flows_of_the_range(anywhere):
    ingest(anywhere, DAY_BEFORE, DAY, NEXT_DAY)
    ingest(anywhere, DAY, events=30)
    assert count(anywhere.load("flows")) == 30
    flows = anywhere.load("flows", hunting__start=DAY_BEFORE, hunting__end=NEXT_DAY)
    assert count(flows) == 20 + 30 + 20
    frame = flows.order("timestamp").df()
    stored = [anywhere.load("raw_network_events", logical_date=day) for day in (DAY_BEFORE, DAY, NEXT_DAY)]
    expected = pd.concat(stored, ignore_index=True)
    assert frame["src_ip"].tolist() == expected["src_ip"].astype("str").tolist()
    assert frame["bytes"].tolist() == expected["bytes"].tolist()
    assert str(frame["timestamp"].dtype.tz) == "UTC"


def test_the_other_layers_have_their_columns(modelled_days):
    range_ = {"hunting__start": DAY_BEFORE, "hunting__end": DAY}
    silver = modelled_days.load("flows", hunting__layer="silver", **range_)
    scores = modelled_days.load("flows", hunting__layer="scores", **range_)
    assert "bytes_per_second" in silver.columns and "score" in scores.columns
    assert count(silver) == count(scores) == 2 * SMALL_DAY["generator__n_events"]
    assert "score" not in silver.columns


@pytest.mark.parametrize("layer", ["raw", "silver", "scores"])
def test_objects_outside_the_times_are_not_read(modelled, layer):
    """The objects that the times leave out are removed, so that reading one would fail."""
    hours = {"hunting__start": f"{DAY}T07:30", "hunting__end": f"{DAY}T11:00"}
    everything = modelled.load("flows", hunting__layer=layer, hunting__start=DAY_BEFORE).df()
    inside = (everything["timestamp"] >= f"{DAY}T07:30") & (everything["timestamp"] < f"{DAY}T11:00")
    bucket = {"raw": "raw", "silver": "silver", "scores": "reports"}[layer]
    before = [key for key in modelled.objects(bucket) if f"/{DAY_BEFORE}/" in key]
    if layer != "raw":
        before += [key for key in modelled.objects(bucket) if f"/{DAY}/slice_00" in key or f"/{DAY}/scores_12" in key]
    assert before
    for key in before:
        modelled.stores.lake.rm_file(key)
    flows = modelled.load("flows", hunting__layer=layer, **hours)
    assert 0 < count(flows) == inside.sum()


def test_parts_outside_the_times_are_not_read(embedded):
    embedded.run(generator__n_events=3000, generator__part_events=500)
    first, *_, last = sorted(embedded.objects())
    end = pq.read_metadata(first).row_group(0).column(0).statistics.max
    embedded.stores.lake.rm_file(last)
    assert count(embedded.load("flows", hunting__start=DAY, hunting__end=f"{end:%Y-%m-%dT%H:%M}")) > 0
    with pytest.raises(Exception, match="registered and missing") as raised:
        embedded.load("flows")
    assert "kedro verify" in explain(raised.value) and last.rpartition("/")[2] in explain(raised.value)


def test_times_without_flows_give_an_empty_table_with_the_columns(embedded):
    ingest(embedded, DAY)
    events = embedded.load("raw_network_events")
    quiet = events["timestamp"].max().ceil("min")
    flows = embedded.load("flows", hunting__start=f"{quiet:%Y-%m-%dT%H:%M}", hunting__end=DAY)
    assert count(flows) == 0 and flows.columns == list(events.columns)


def test_days_without_flows_are_named(embedded, caplog):
    with pytest.raises(ProjectError) as raised:
        embedded.load("flows")
    assert "there are no raw objects of source synthetic on 2024-04-19: run the ingestion" in explain(raised.value)
    ingest(embedded, DAY)
    assert count(embedded.load("flows", hunting__start="2024-04-15")) == 20
    said = "there are no raw objects of source synthetic on 4 of 5 days: 2024-04-15, 2024-04-16, 2024-04-17, ..."
    assert said in caplog.text


def test_columns_that_only_some_days_have_are_null_on_the_others(embedded, make_events):
    ingest(embedded, DAY_BEFORE)
    (path,) = embedded.objects()
    frame = pd.read_parquet(path).drop(columns=["src_port"], errors="ignore")
    ingest(embedded, DAY)
    (other,) = [key for key in embedded.objects() if DAY in key]
    frame.to_parquet(path)
    pd.read_parquet(other).assign(src_port=443).to_parquet(other)
    flows = embedded.load("flows", hunting__start=DAY_BEFORE)
    assert count(flows.filter("src_port = 443")) == 20
    assert count(flows.filter("src_port IS NULL")) == 20


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, ("2024-04-19T00:00", "2024-04-20T00:00")),
        ("2024-04-01", None, ("2024-04-01T00:00", "2024-04-20T00:00")),
        ("2024-04-19T22:00", "2024-04-19T23:30", ("2024-04-19T22:00", "2024-04-19T23:30")),
        ("2024-04-19", "2024-04-19T00:01", ("2024-04-19T00:00", "2024-04-19T00:01")),
    ],
)
def test_a_range_of_days_or_minutes(start, end, expected):
    span = choose_span(start, end, DAY)
    assert (span.start, span.end) == tuple(datetime.fromisoformat(edge).replace(tzinfo=UTC) for edge in expected)
    assert str(span.days[-1]) == DAY


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"start": "2024-04-20", "end": "2024-04-18"}, "hunting.end 2024-04-18 is not after hunting.start 2024-04-20"),
        ({"start": "yesterday"}, "parameter hunting.start is 'yesterday': "),
        ({"start": "2024-02-31"}, "parameter hunting.start is '2024-02-31': "),
        ({"end": "2024-04-19T25:00"}, "parameter hunting.end is '2024-04-19T25:00': "),
        ({"layer": "quarantine"}, "parameter hunting.layer is 'quarantine': "),
        ({"strat": "2024-04-19"}, "unknown parameter hunting.strat: did you mean hunting.start?"),
    ],
)
def test_a_range_that_cannot_be_meant_is_refused(embedded, params, says):
    with pytest.raises(Exception, match="hunting") as raised:
        embedded.load("flows", **{f"hunting__{name}": value for name, value in params.items()})
    assert says in explain(raised.value)


def test_a_query_prints_a_table(anywhere):
    ingest(anywhere, DAY_BEFORE, DAY)
    done = ask(anywhere, COUNT, "--start", DAY_BEFORE, "--end", DAY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["flows", "-----", "   40", "1 row"]
    assert ask(anywhere, COUNT, "--start", DAY).stdout.splitlines()[2] == "   20"
    done = ask(anywhere, COUNT, "--last", "3")
    assert done.returncode == 1 and "there are no raw objects of source synthetic on 3 of 3 days" in done.stderr


def test_a_long_result_says_that_there_is_more_and_is_written_whole(embedded, tmp_path):
    ingest(embedded, DAY, events=100)
    done = ask(embedded, "SELECT src_ip FROM flows", "--start", DAY)
    *rows, last = done.stdout.splitlines()
    assert len(rows) == 2 + 40 and last == "the first 40 rows; there are more: --output FILE.parquet writes all"
    for name in ("found.parquet", "found.csv"):
        done = ask(embedded, "SELECT * FROM flows ORDER BY timestamp", "--start", DAY, "--output", str(tmp_path / name))
        assert done.stdout == f"100 rows in {tmp_path / name}\n", done.stderr
    events = embedded.load("raw_network_events")
    assert pd.read_parquet(tmp_path / "found.parquet")["bytes"].tolist() == events["bytes"].tolist()
    assert pd.read_csv(tmp_path / "found.csv")["bytes"].tolist() == events["bytes"].tolist()


@pytest.mark.parametrize(
    ("name", "says"), [("found.txt", ".parquet or .csv"), ("no/found.csv", "no such folder"), ("pyproject.toml", "end")]
)
def test_an_output_that_cannot_be_written_is_refused_at_once(embedded, name, says):
    done = ask(embedded, COUNT, "--output", str(embedded.root / name))
    assert done.returncode == 1 and says in done.stderr


def test_a_file_that_exists_is_not_replaced(embedded, tmp_path):
    (tmp_path / "found.csv").write_text("mine")
    done = ask(embedded, COUNT, "--output", str(tmp_path / "found.csv"))
    assert done.returncode == 1 and "it exists already" in done.stderr
    assert (tmp_path / "found.csv").read_text() == "mine"


def test_a_query_that_fails_while_it_writes_leaves_no_file(embedded, tmp_path):
    ingest(embedded, DAY)
    sql = "SELECT CAST(protocol AS INTEGER) FROM flows"
    done = ask(embedded, sql, "--start", DAY, "--output", str(tmp_path / "found.csv"))
    assert done.returncode == 1 and "Conversion Error" in done.stderr and "\n" not in done.stderr.strip()
    assert not list(tmp_path.glob("found*"))


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SELECT max(timestamp) - min(timestamp) AS span FROM flows", "found.parquet"),
        ("SELECT max(timestamp) - min(timestamp) AS span FROM flows", "found.csv"),
        ("SELECT src_ip, list(DISTINCT dst_ip) AS peers FROM flows GROUP BY 1", "found.csv"),
    ],
)
def test_a_column_that_a_format_cannot_hold_is_one_line(embedded, tmp_path, sql, name):
    ingest(embedded, DAY)
    done = ask(embedded, sql, "--start", DAY, "--output", str(tmp_path / name))
    assert done.returncode == 1 and "CAST(column AS VARCHAR)" in done.stderr and "\n" not in done.stderr.strip()
    assert not list(tmp_path.glob("found*"))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2024-04-19", None, ("2024-04-19", "2024-04-19")),
        ("2024-04-19T05:00", None, ("2024-04-19T05:00", "2024-04-19")),
        (None, "2024-04-19T05:00", ("2024-04-19", "2024-04-19T05:00")),
        (None, None, (None, None)),
    ],
)
def test_one_end_of_a_range_is_enough(start, end, expected):
    assert choose_range(start, end, None) == expected


WRITES = [
    "COPY flows TO '{folder}/x.csv'",
    "COPY (SELECT 1) TO '{folder}/x.parquet'",
    "ATTACH '{folder}/x.db'",
    "EXPORT DATABASE '{folder}/x'",
    "IMPORT DATABASE '{folder}'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CREATE TABLE x AS SELECT 1",
    "INSERT INTO flows VALUES (1)",
    "DELETE FROM flows",
    "DROP VIEW flows",
    "SET memory_limit = '9GB'",
    "RESET lock_configuration",
    "PRAGMA enable_profiling",
    "CALL enable_logging()",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY flows TO '{folder}/x.csv'",
    "",
    "/* nothing */",
]
READS = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_text('{root}/conf/minio/credentials.yml')",
    "SELECT * FROM read_parquet('{root}/data/lake/*/*/*/*.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('{superseded}')",
    "SELECT * FROM read_parquet('{superseded}')",
    "SELECT * FROM read_parquet('s3://somewhere/x.parquet')",
    "SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')",
    "SELECT * FROM duckdb_secrets()",
]
OTHERS = [
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM '{superseded}'",
    "SELECT * FROM query('COPY flows TO ''{folder}/x.csv''')",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '{folder}/log')",
    "WITH x AS (INSERT INTO flows VALUES (1) RETURNING *) SELECT * FROM x",
    "SELECT * FROM connection",
    "SELECT getenv('HOME')",
]


@pytest.fixture(scope="module")
def corrected(tmp_path_factory) -> Project:
    """A project whose day has a superseded revision."""
    from conftest import copy_project

    project = copy_project(tmp_path_factory.mktemp("corrected") / "project")
    ingest(project, DAY)
    ingest(project, DAY, events=30)
    return project


@pytest.mark.parametrize("sql", [*WRITES, *READS, *OTHERS])
def test_a_query_neither_writes_nor_reads_anything_else(corrected, tmp_path, sql):
    current = set(corrected.rows("current_objects")["object_uri"])
    (superseded,) = {key for key in corrected.objects() if not key.endswith(tuple(current))}
    done = ask(
        corrected, sql.format(folder=tmp_path, root=corrected.root, superseded=superseded), "--start", DAY, "--end", DAY
    )
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    if sql in WRITES and sql:
        assert "one SELECT statement" in done.stderr
    if sql in READS:
        assert "reads the table flows only" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_mistyped_column_is_named_with_its_neighbours(corrected):
    done = ask(corrected, "SELECT srcip FROM flows", "--start", DAY)
    assert done.returncode == 1
    assert 'column "srcip" not found' in done.stderr and '"src_ip"' in done.stderr and "LINE" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_query_keeps_to_its_memory_and_disk(embedded, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ingest(embedded, DAY)
    limits = {"hunting__memory_mb": 64, "hunting__temp_mb": 1}
    table = embedded.load("flows", **limits)
    from network_anomalies.datasets.flow_table import in_plain_words, select

    sql = "SELECT range, random() AS value FROM range(30000000) ORDER BY value"
    with pytest.raises(ProjectError, match=r"raise hunting\.memory_mb or hunting\.temp_mb"), in_plain_words():
        select(table, sql).fetchall()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) < 2_000_000


HOSTILE = "\x1b[31mred\x07\r\n\u202etxt.exe\u200b<b>"


@pytest.mark.parametrize("columns", ["200", "60", "1"])
def test_hostile_values_are_shown_and_not_obeyed(embedded, monkeypatch, columns):
    ingest(embedded, DAY)
    (path,) = embedded.objects()
    pd.read_parquet(path).assign(flow_id=HOSTILE).to_parquet(path)
    monkeypatch.setenv("COLUMNS", columns)
    done = ask(embedded, 'SELECT flow_id, flow_id AS "\x1b[2J" FROM flows LIMIT 1', "--start", DAY)
    assert done.returncode == 0, done.stderr
    if columns == "200":
        assert "<U+001B>[31mred<U+0007><U+000D><U+000A><U+202E>txt.exe<U+200B><b>" in done.stdout
        assert "<U+001B>[2J" in done.stdout
    assert not set(done.stdout) & {"\x1b", "\x07", "\r", "\u202e", "\u200b"}


def test_without_duckdb_one_line_says_what_to_install(embedded, monkeypatch):
    ingest(embedded, DAY)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    done = ask(embedded, COUNT, "--start", DAY)
    assert done.returncode == 1
    assert done.stderr == "Error: DuckDB is not installed: pip install -c constraints.txt -e '.[hunt]'\n"


def test_the_command_leaves_nothing_on_standard_error(anywhere):
    """DuckDB prints a page of warnings if its objects are left when the process ends."""
    ingest(anywhere, DAY)
    done = anywhere.cli("query", COUNT, "--env", anywhere.env, "--start", DAY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2].strip() == "20"


def test_an_altered_object_is_an_error_in_one_line(embedded):
    ingest(embedded, DAY)
    (path,) = embedded.objects()
    embedded.stores.lake.pipe_file(path, b"PAR1 not Parquet at all PAR1")
    done = ask(embedded, COUNT, "--start", DAY)
    assert done.returncode == 1 and done.stderr.count("\n") == 1


PAGE = (ROOT / "docs/hunting.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def find_example(word: str) -> str:
    (example,) = [example for example in EXAMPLES if word in example]
    return example


@pytest.mark.parametrize("library", ["import duckdb", "import polars"])
def test_the_examples_for_other_programs_read_the_current_flows(corrected, monkeypatch, capsys, library):
    monkeypatch.chdir(corrected.root)
    names: dict[str, object] = {}
    exec(find_example("import sqlite3"), names)
    assert len(names["paths"]) == 1
    exec(find_example(library), names)
    protocols = corrected.load("raw_network_events")["protocol"].astype("str").value_counts()
    shown = capsys.readouterr().out
    assert all(re.search(rf"{name}\W+{count}\b", shown) for name, count in protocols.items()), shown


def test_the_example_for_notebooks_works(corrected):
    lines = [line for line in find_example("%load_ext").splitlines() if not line.startswith("%")]
    exec("\n".join(lines), {"catalog": SimpleNamespace(load=corrected.load)})


def test_spark_is_documented():
    ast.parse(find_example("pyspark"))
