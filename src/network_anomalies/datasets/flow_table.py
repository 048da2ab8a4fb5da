"""A table of flows over many objects of the lake, in DuckDB: what it may read, and which queries it takes."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from network_anomalies.errors import ProjectError

if TYPE_CHECKING:
    import duckdb

TABLE = "flows"
HOW_TO_INSTALL = "DuckDB is not installed: pip install -c constraints.txt -e '.[hunt]'"


def open_table(filesystem: Any, paths: Sequence[str], memory_mb: int, temp_mb: int) -> "duckdb.DuckDBPyRelation":
    """Return a lazy table over Parquet objects, in a database in memory that can read these objects and nothing else.

    Args:
        filesystem: of the objects, an fsspec filesystem. A local one is not used: DuckDB reads local files itself.
        paths: of the objects. Columns that only some of them have are null for the others.
        memory_mb: how much memory DuckDB may use, in MB.
        temp_mb: how much disk it may use for what does not fit into memory, in MB.

    Raises:
        ProjectError: DuckDB is not installed.
    """
    is_local = "file" in filesystem.protocol
    urls = [path if is_local else filesystem.unstrip_protocol(path) for path in paths]
    connection = _import_duckdb().connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_mb} MB",
            "temp_directory": str(Path(tempfile.gettempdir()) / "network-anomalies-query"),
            "max_temp_directory_size": f"{temp_mb} MB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,  # names in a query are no variables of the program
        },
    )
    if not is_local:
        connection.register_filesystem(filesystem)
    quoted = ", ".join("'{}'".format(url.replace("'", "''")) for url in urls)
    settings = [
        "TimeZone = 'UTC'",
        "validate_external_file_cache = 'NO_VALIDATION'",  # an object never changes, and asking costs a request
        f"allowed_paths = [{quoted}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ]
    connection.execute("; ".join(f"SET {setting}" for setting in settings))
    table: duckdb.DuckDBPyRelation = connection.read_parquet(urls, union_by_name=True).set_alias(TABLE)
    return table


def select(table: "duckdb.DuckDBPyRelation", sql: str) -> "duckdb.DuckDBPyRelation":
    """Return the result of one SELECT statement on the table ``flows``; it is computed when it is read.

    Raises:
        ProjectError: it is no such statement, or a name in it does not exist.
    """
    duckdb = _import_duckdb()
    with in_plain_words():
        statements = duckdb.extract_statements(sql)
        is_select = [statement.type for statement in statements] == [duckdb.StatementType.SELECT]
        found = table.query(TABLE, sql) if is_select else None
    if found is None:
        raise ProjectError("a query is one SELECT statement about the table flows: it changes and writes nothing")
    return found


@contextmanager
def in_plain_words() -> Iterator[None]:
    """Turn DuckDB's errors into one line, also those that come when a result is read.

    Raises:
        ProjectError: the cause, and what to change in the query or its parameters.
    """
    duckdb = _import_duckdb()
    try:
        yield
    except duckdb.PermissionException:
        raise ProjectError("a query reads the table flows only: other files are neither read nor written") from None
    except duckdb.OutOfMemoryException as error:
        limits = "raise hunting.memory_mb or hunting.temp_mb, or ask for fewer days"
        raise ProjectError(f"the query needs more than it may use ({_first_line(error)}): {limits}") from error
    except duckdb.Error as error:
        raise ProjectError(f"the query failed: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """Return what DuckDB says before it shows the place in the query: "LINE 1: ... ^"."""
    return " ".join(str(error).partition("\nLINE ")[0].split())


def _import_duckdb() -> Any:
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise ProjectError(HOW_TO_INSTALL) from error
    return duckdb
