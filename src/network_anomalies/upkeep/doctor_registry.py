"""The doctor on the registry: that it answers, its schema's version, and what the user may do."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, func, literal, make_url, select

from network_anomalies.registry.engine import HEAD, connect, describe_misfit, read_version
from network_anomalies.registry.tables import metadata
from network_anomalies.upkeep.findings import Finding

RIGHTS = ("SELECT", "INSERT", "UPDATE")


def check_registry(url: str) -> Iterator[Finding]:
    """Look at an embedded registry's file, or at a served one's schema and rights."""
    place = make_url(url)
    if place.get_backend_name() == "sqlite":
        yield _check_file(Path(str(place.database)), url)
        return
    engine = connect(url)
    with engine.connect() as connection:
        yield Finding("registry", "OK", "answers, and takes the login")
        if connection.scalar(select(func.current_setting("transaction_read_only"))) == "on":
            advice = "give PG_HOST of the primary, or let PG_USER write"
            yield Finding(
                "registry rights", "FAIL", f"the database takes no writes (a standby, or read-only): {advice}"
            )
        version = read_version(engine)
        yield _judge_version(version)
        yield _judge_rights(connection, version)


def _check_file(path: Path, url: str) -> Finding:
    if not path.exists():
        return Finding("registry", "OK", f"{path} is not there yet: the first run makes it")
    version = read_version(connect(url))
    misfit = describe_misfit(version)
    if misfit and version and version > HEAD:
        return Finding("registry", "FAIL", misfit)
    return Finding("registry", "OK", f"{path}, {'the next run migrates it' if misfit else f'schema version {HEAD}'}")


def _judge_version(version: str | None) -> Finding:
    misfit = describe_misfit(version)
    return Finding("registry schema", "FAIL", misfit) if misfit else Finding("registry schema", "OK", f"version {HEAD}")


def _judge_rights(connection: Connection, version: str | None) -> Finding:
    """Ask for the rights of a run, or where the schema is not there or old, for that of `kedro setup`."""
    schema = connection.scalar(select(func.current_schema()))
    if schema is None:
        return Finding("registry rights", "FAIL", "no schema is visible to PG_USER: grant usage on one")
    if version != HEAD:
        if connection.scalar(select(func.has_schema_privilege(schema, literal("CREATE")))):
            return Finding("registry rights", "OK", f"may make tables in schema {schema}")
        return Finding("registry rights", "FAIL", f"may not make tables: GRANT CREATE ON SCHEMA {schema} TO PG_USER")
    lacking = _find_lacking(connection)
    if lacking:
        advice = f"GRANT {', '.join(RIGHTS)} ON ALL TABLES IN SCHEMA {schema} TO PG_USER"
        return Finding("registry rights", "FAIL", f"PG_USER lacks {', '.join(lacking)}: {advice}")
    return Finding("registry rights", "OK", f"{', '.join(RIGHTS)} on every table")


def _find_lacking(connection: Connection) -> list[str]:
    pairs = [(table, right) for table in sorted(metadata.tables) for right in RIGHTS]
    asked = [func.has_table_privilege(*pair).label("_".join(pair)) for pair in pairs]
    held = connection.execute(select(*asked)).one()
    return [f"{right} on {table}" for (table, right), has in zip(pairs, held, strict=True) if not has]
