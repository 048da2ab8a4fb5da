"""The doctor's checks of the registry: it answers, the version of its schema, and the user's rights."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, func, literal, make_url, select, text

from network_anomalies.registry.engine import HEAD, connect, describe_misfit, read_version
from network_anomalies.registry.tables import RIGHTS
from network_anomalies.upkeep.checks import Finding


def check_registry(url: str) -> Iterator[Finding]:
    """Check the file of a SQLite registry, or the schema and the rights of a PostgreSQL registry."""
    place = make_url(url)
    if place.get_backend_name() == "sqlite":
        yield _check_file(Path(str(place.database)), url)
        return
    with connect(url).connect() as connection:
        yield Finding("registry", "OK", "answers, and accepts the login")
        if connection.scalar(select(func.current_setting("transaction_read_only"))) == "on":
            advice = "give PG_HOST of the primary, or let PG_USER write"
            yield _refuse(f"the database allows no writes (a standby, or read-only): {advice}")
        yield from _judge_schema(connection)


def _check_file(path: Path, url: str) -> Finding:
    if not path.exists():
        return Finding("registry", "OK", f"{path} is not there yet: the first run makes it")
    version = read_version(connect(url))
    misfit = describe_misfit(version)
    if misfit and version and version > HEAD:
        return Finding("registry", "FAIL", misfit)
    return Finding("registry", "OK", f"{path}, {'the next run migrates it' if misfit else f'schema version {HEAD}'}")


def _judge_schema(connection: Connection) -> Iterator[Finding]:
    """Check the rights of a run, or if there is no schema or an old one, the rights of `kedro setup`."""
    names = func.quote_ident(func.current_user()), func.quote_ident(func.current_schema())
    user, schema = connection.execute(select(*names)).one()
    if schema is None:
        yield _refuse(f"{user} sees no schema: {_advise(f'USAGE ON SCHEMA public TO {user}')}")
        return
    lacking = _find_lacking(connection)
    if "alembic_version" in lacking:  # the version cannot be read
        yield _judge_rights(user, schema, lacking)
    elif misfit := describe_misfit(read_version(connection.engine)):
        yield Finding("registry schema", "FAIL", misfit)
        yield _judge_setup(connection, user, schema)
    else:
        yield Finding("registry schema", "OK", f"version {HEAD}")
        yield _judge_rights(user, schema, lacking)


def _find_lacking(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Return the rights of a run that the user lacks, by existing table and view."""
    query = text(
        "SELECT name, needed FROM unnest(CAST(:names AS text[]), CAST(:rights AS text[])) AS pairs (name, needed) "
        "JOIN pg_class ON relname = name JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = current_schema() AND NOT has_table_privilege(pg_class.oid, needed)"
    )
    pairs = [(name, right) for name, rights in RIGHTS.items() for right in rights]
    values = {"names": [name for name, _ in pairs], "rights": [right for _, right in pairs]}
    missing = {(row.name, row.needed) for row in connection.execute(query, values)}
    lacking = {name: tuple(right for right in rights if (name, right) in missing) for name, rights in RIGHTS.items()}
    return {name: rights for name, rights in lacking.items() if rights}


def _judge_rights(user: str, schema: str, lacking: dict[str, tuple[str, ...]]) -> Finding:
    if not lacking:
        return Finding("registry rights", "OK", "all that a run needs, on every table and view")
    grants = []
    for rights in dict.fromkeys(lacking.values()):
        tables = ", ".join(f"{schema}.{table}" for table, needed in lacking.items() if needed == rights)
        grants.append(f"{', '.join(rights)} ON {tables} TO {user}")
    missing = "; ".join(f"{', '.join(rights)} on {table}" for table, rights in lacking.items())
    return _refuse(f"{user} lacks {missing}: {_advise(*grants)}")


def _judge_setup(connection: Connection, user: str, schema: str) -> Finding:
    """Check the rights to make and change tables. Only the owner of a table may change it."""
    owners = text(
        "SELECT DISTINCT quote_ident(tableowner) FROM pg_tables WHERE schemaname = current_schema() "
        "AND tablename = ANY(:names) AND NOT pg_has_role(tableowner, 'USAGE')"
    )
    others = connection.scalars(owners, {"names": list(RIGHTS)}).all()
    if others:
        return _refuse(f"the tables belong to {', '.join(others)}: run `kedro setup` as that user")
    if connection.scalar(select(func.has_schema_privilege(func.current_schema(), literal("CREATE")))):
        return Finding("registry rights", "OK", f"may make tables in schema {schema}")
    return _refuse(f"{user} may not make tables: {_advise(f'CREATE ON SCHEMA {schema} TO {user}')}")


def _refuse(text: str) -> Finding:
    return Finding("registry rights", "FAIL", text)


def _advise(*grants: str) -> str:
    return " ".join(["as the owner of the schema run", *(f"GRANT {grant};" for grant in grants)])
