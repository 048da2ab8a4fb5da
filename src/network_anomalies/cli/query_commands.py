"""The command that asks questions about the stored flows, in SQL."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from kedro.framework.cli.utils import env_option

from network_anomalies.cli.options import in_one_line
from network_anomalies.errors import ProjectError

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS = 100_000
FORMATS = (".parquet", ".csv")
DAY_LENGTH = len("2024-04-19")


@click.command()
@env_option
@click.argument("sql")
@click.option("--source", default=None, help="Whose flows (default: the parameter source).")
@click.option("--start", default=None, help="First day, or minute as YYYY-MM-DDTHH:MM (default: the logical date).")
@click.option("--end", default=None, help="Last day, or the minute at which the range ends.")
@click.option("--last", type=int, default=None, help="Instead of a range: so many days up to yesterday (UTC).")
@click.option("--layer", default=None, help="raw, silver or scores (default: the parameter hunting.layer).")
@click.option("--output", type=click.Path(path_type=Path), default=None, help="Write all rows: .parquet or .csv.")
@in_one_line
def query(
    env: str | None,
    sql: str,
    source: str | None,
    start: str | None,
    end: str | None,
    last: int | None,
    layer: str | None,
    output: Path | None,
) -> None:
    """Ask one question about the stored flows: a SELECT statement about the table `flows`."""
    from kedro.framework.project import settings

    from network_anomalies.datasets.flow_table import in_plain_words, select

    check_output(output)
    start, end = choose_range(start, end, last)
    chosen = {"start": start, "end": end, "layer": layer}
    params = {"source": source, "hunting": {name: value for name, value in chosen.items() if value is not None}}
    given = {name: value for name, value in params.items() if value}
    with settings.SESSION_CLASS.create(env=env, runtime_params=given) as session:
        context = session.load_context()
        flows, shown = context.catalog.load("flows"), context.config_loader["parameters"]["hunting"].shown_rows
    with in_plain_words():
        found = select(flows, sql)
        if output:
            click.echo(f"{write_rows(found, output)} rows in {output}")
            return
        for line in describe_rows(found, shown, shutil.get_terminal_size().columns):
            click.echo(line)


def choose_range(start: str | None, end: str | None, last: int | None) -> tuple[str | None, str | None]:
    """Return the first and the last day or minute that the options mean; None is left to the parameters."""
    if last is None:
        return start or (end and end[:DAY_LENGTH]), end or (start and start[:DAY_LENGTH])
    from network_anomalies.backfill.plan import choose_days

    if start or end:
        raise ProjectError("give either --start and --end, or --last")
    days = choose_days(None, None, last, datetime.now(UTC).date())
    return str(days[0]), str(days[-1])


def describe_rows(found: "duckdb.DuckDBPyRelation", shown: int, width: int) -> Iterator[str]:
    """Yield the lines of a table of the first rows, and a line that says how many there are or that there are more."""
    from network_anomalies.cli.text_table import format_table

    rows = found.limit(shown + 1).fetchall()
    yield from format_table(found.columns, rows[:shown], width)
    if len(rows) > shown:
        yield f"the first {shown} rows; there are more: --output FILE.parquet writes all"
    else:
        yield f"{len(rows)} row{'s' * (len(rows) != 1)}"


def check_output(output: Path | None) -> None:
    """Refuse a file that cannot be written, before anything is read.

    Raises:
        ProjectError: its name tells no format, it exists, or its folder does not.
    """
    if output is None:
        return
    if output.suffix not in FORMATS:
        raise ProjectError(f"--output {output}: give a name that ends with {' or '.join(FORMATS)}")
    if output.exists() or not output.parent.is_dir():
        fault = "it exists already" if output.exists() else "there is no such folder"
        raise ProjectError(f"--output {output}: {fault}: give another name")


def write_rows(found: "duckdb.DuckDBPyRelation", output: Path) -> int:
    """Write all rows batch by batch; return their number. A file that could not be finished is removed.

    Raises:
        ProjectError: a column has a type that the format does not have, such as a list in CSV.
    """
    from pyarrow import ArrowInvalid, ArrowNotImplementedError
    from pyarrow.csv import CSVWriter
    from pyarrow.parquet import ParquetWriter

    batches, count = found.to_arrow_reader(BATCH_ROWS), 0
    try:
        with (ParquetWriter if output.suffix == ".parquet" else CSVWriter)(str(output), batches.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                count += batch.num_rows
    except (ArrowInvalid, ArrowNotImplementedError) as error:
        output.unlink(missing_ok=True)
        fault = str(error).partition("\n")[0]
        raise ProjectError(f"--output {output}: {fault}: make it text, as by CAST(column AS VARCHAR)") from error
    except BaseException:
        output.unlink(missing_ok=True)
        raise
    return count
