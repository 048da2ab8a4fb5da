"""The doctor: each thing that is wrong is named with the way out, stops no other check; nothing is left behind."""

import contextlib
import http.server
import re
import signal
import threading
import time
from email.utils import formatdate

import pytest
from conftest import DAY, DAY_BEFORE, Project
from proxy import Fault, start_proxy
from servers import find_free_ports
from sqlalchemy import text

from network_anomalies.errors import ProjectError
from network_anomalies.registry.engine import HEAD, connect
from network_anomalies.upkeep import load_stores, setup_stores
from network_anomalies.upkeep.checks import Finding
from network_anomalies.upkeep.doctor import examine

LAYERS = 5


def diagnose(project: Project, **options) -> list[Finding]:
    return examine(project.env, project.root, **options)


def failed(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.text for finding in findings if finding.state == "FAIL"}


def run_as(project: Project, *arguments: str) -> str:
    """Return what a command prints, run as the user that the environment names by now."""
    done = project.invoke(*arguments, "--env", project.env)
    return done.stdout + done.stderr


def sql(project: Project, *statements: str) -> None:
    with connect(project.url).begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_all_is_well_before_and_after_a_run_and_nothing_is_left_behind(anywhere):
    assert not failed(diagnose(anywhere))
    assert anywhere.objects() == []
    anywhere.run()
    before = {layer: anywhere.objects(layer) for layer in ("raw", "quarantine", "silver", "models", "reports")}
    files = sorted(anywhere.root.rglob("*"))
    assert not failed(diagnose(anywhere))
    assert {layer: anywhere.objects(layer) for layer in before} == before
    assert [path for path in sorted(anywhere.root.rglob("*")) if path not in files] == []


def test_an_embedded_project_that_never_ran_is_well_and_stays_untouched(embedded):
    findings = diagnose(embedded)
    assert {finding.state for finding in findings} == {"OK"}
    assert not (embedded.root / "data").exists()
    assert "the first run makes it" in next(finding.text for finding in findings if finding.check == "registry")


def test_the_command_prints_a_table_and_exits_by_it(ready):
    good, bad = ready.cli("doctor", "--env", "minio"), ready.cli("doctor", "--env", "minio", PG_PASSWORD="wrong")
    assert (good.returncode, bad.returncode) == (0, 1), good.stdout + bad.stdout
    assert good.stdout.splitlines()[-1].endswith("0 FAIL")
    assert "FAIL  registry " in bad.stdout
    for secret in (ready.variables["PG_PASSWORD"], ready.variables["MINIO_SECRET_KEY"]):
        assert secret not in good.stdout + good.stderr + bad.stdout + bad.stderr


@pytest.mark.parametrize("variable", ["MINIO_SECRET_KEY", "PG_HOST"])
def test_a_missing_variable_is_named_and_the_other_server_is_looked_at(ready, monkeypatch, variable):
    monkeypatch.delenv(variable)
    side, other = ("store", "registry schema") if variable.startswith("MINIO") else ("registry", "store clock")
    findings = diagnose(ready)
    assert failed(findings) == {
        variable: "not set: export it, or choose another --env",
        side: f"not checked: set {variable} first",
    }
    assert Finding(other, "OK", f"version {HEAD}") in findings or other == "store clock"
    assert any(finding.check == other and finding.state == "OK" for finding in findings)


def test_an_optional_variable_that_is_empty_is_named(ready, monkeypatch):
    monkeypatch.setenv("PG_SSLMODE", "")
    assert "for its default" in failed(diagnose(ready))["PG_SSLMODE"]


@pytest.mark.parametrize(("name", "value"), [("MINIO_SECRET_KEY", "wrong"), ("MINIO_ACCESS_KEY", "nobody")])
def test_a_wrong_key_fails_every_bucket_and_nothing_else(ready, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    found = failed(diagnose(ready))
    assert len(found) == LAYERS
    assert all("refused the credentials: check MINIO_ACCESS_KEY" in said for said in found.values())


def test_a_key_that_may_only_read_is_told_apart_by_the_step(ready, monkeypatch):
    monkeypatch.setenv("MINIO_ACCESS_KEY", "reader")
    found = failed(diagnose(ready))
    assert len(found) == LAYERS
    assert all(said.startswith("write: the object store refused") for said in found.values())


def test_a_missing_bucket_is_named(ready):
    stores = load_stores(ready.env, ready.root)
    stores.lake.rmdir(stores.buckets["silver"])
    ((check, said),) = failed(diagnose(ready)).items()
    assert check.endswith("-silver")
    assert said.endswith("run `kedro setup` for this environment")


def test_a_bucket_that_keeps_versions_keeps_none_of_the_probe(ready):
    stores = load_stores(ready.env, ready.root)
    bucket = stores.buckets["raw"]
    stores.lake.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert not failed(diagnose(ready))
    kept = stores.lake.call_s3("list_object_versions", Bucket=bucket)
    assert not kept.get("Versions")
    assert not kept.get("DeleteMarkers")


def test_a_bucket_that_lets_nothing_be_deleted_is_a_warning(ready):
    stores = load_stores(ready.env, ready.root)
    bucket, lake = stores.buckets["silver"], stores.lake
    lake.rmdir(bucket)
    lake.call_s3("create_bucket", Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    locked = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    lake.call_s3("put_object_lock_configuration", Bucket=bucket, ObjectLockConfiguration=locked)
    (warning,) = (finding for finding in diagnose(ready) if finding.state != "OK")
    assert (warning.check, warning.state) == (f"bucket {bucket}", "WARN")
    assert re.match(r"delete: .*; \.doctor/\w+ stays", warning.text)


def test_nothing_set_up_names_the_step_once_per_thing(served):
    found = failed(diagnose(served))
    assert len(found) == LAYERS + 1
    assert all("kedro setup" in said for said in found.values())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PG_PASSWORD", "wrong", "it refused the login: check PG_USER and PG_PASSWORD"),
        ("PG_DATABASE", "nowhere", "it has no such database: check PG_DATABASE"),
        ("PG_PORT", "not-a-port", "PG_PORT is 'not-a-port'"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line(ready, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    ((check, words),) = failed(diagnose(ready)).items()
    assert check == "registry"
    assert said in words


def test_servers_that_are_down_are_named_and_stop_nothing_else(ready, monkeypatch):
    store, database = find_free_ports(2)
    monkeypatch.setenv("MINIO_ENDPOINT_URL", f"http://127.0.0.1:{store}")
    monkeypatch.setenv("PG_PORT", str(database))
    findings = diagnose(ready)
    found = failed(findings)
    assert {check for check in found if not check.startswith("bucket ")} == {"store clock", "registry"}
    assert "check PG_HOST and PG_PORT" in found["registry"]
    assert "check MINIO_ENDPOINT_URL" in found["store clock"]
    assert [finding.state for finding in findings if finding.check in ("packages", "data folder")] == ["OK", "OK"]


@pytest.mark.slow(reason="the limits of a real run pass")
def test_servers_that_accept_and_stay_silent_do_not_hang_the_command(ready):
    database = f"http://{ready.variables['PG_HOST']}:{ready.variables['PG_PORT']}"
    with (
        start_proxy(ready.variables["MINIO_ENDPOINT_URL"], Fault(stall=True)) as lake,
        start_proxy(database, Fault(stall=True)) as registry,
    ):
        started = time.monotonic()
        done = ready.cli("doctor", "--env", "minio", MINIO_ENDPOINT_URL=lake, PG_PORT=registry.rpartition(":")[2])
    assert time.monotonic() - started < 30
    assert done.returncode == 1
    assert f"{LAYERS + 2} FAIL" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_command_that_runs_no_pipeline_ends_on_sigterm_too(ready):
    fault = Fault(stall=True)
    with start_proxy(ready.variables["MINIO_ENDPOINT_URL"], fault) as lake:
        process = ready.start("doctor", "--env", "minio", MINIO_ENDPOINT_URL=lake)
        while not fault.accepted:
            time.sleep(0.05)
        process.terminate()
        process.communicate(timeout=5)
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("version", "said"),
    [("0000", "run `kedro setup`"), ("9999", f"newer than this code's {HEAD}: update this code")],
)
def test_another_schema_version_names_the_way_out(ready, version, said):
    sql(ready, f"UPDATE alembic_version SET version_num = '{version}'")
    found = failed(diagnose(ready))
    assert said in found["registry schema"]
    assert f"has schema version {version}" in found["registry schema"]
    with pytest.raises(ProjectError, match=said.partition(":")[0].replace("'", ".")):
        ready.run()


def test_an_embedded_registry_that_is_newer_fails_and_one_that_is_older_does_not(embedded):
    embedded.run()
    sql(embedded, "UPDATE alembic_version SET version_num = '9999'")
    assert failed(diagnose(embedded))["registry"].endswith("update this code")
    sql(embedded, "UPDATE alembic_version SET version_num = '0000'")
    assert not failed(diagnose(embedded))


def make_role(project: Project, monkeypatch, *grants: str) -> None:
    """Make a login of this database with ``grants`` and no other right, and be it from here on."""
    role = project.variables["PG_DATABASE"]  # with a hyphen, which must be quoted
    made = f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'secret'"
    sql(project, made, *(grant.format(role=f'"{role}"') for grant in grants))
    monkeypatch.setenv("PG_USER", role)
    monkeypatch.setenv("PG_PASSWORD", "secret")


def grant_as_told(project: Project, said: str) -> list[str]:
    """Run the statements that the doctor printed as the owner of the schema."""
    statements = re.findall(r"GRANT .*?;", said)
    sql(project, *statements)
    return statements


def test_a_role_that_may_only_read_is_told_what_it_lacks(ready, monkeypatch):
    owner = ready.url  # the engine is opened once, as the owner
    make_role(ready, monkeypatch, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    assert owner == ready.url
    ((check, said),) = failed(diagnose(ready)).items()
    assert check == "registry rights"
    assert "lacks INSERT, UPDATE, DELETE on alerts; INSERT, UPDATE on evaluation_events" in said
    assert "GRANT INSERT, UPDATE, DELETE ON public.alerts, public.incident_alerts, public.incidents TO" in said
    assert "GRANT INSERT ON public.verdicts TO" in said  # verdicts are only added


@pytest.mark.slow(reason="three whole runs on real servers")
def test_the_grants_that_the_doctor_prints_are_all_that_a_run_needs(ready, monkeypatch):
    assert ready.url
    make_role(ready, monkeypatch)
    assert "run `kedro doctor`" in run_as(ready, "run", "--pipelines", "ingestion")
    said = failed(diagnose(ready))["registry rights"]
    assert len(grant_as_told(ready, said)) == 4  # tables, what is replaced, verdicts, and what is only read
    assert not failed(diagnose(ready))
    for day in (DAY_BEFORE, DAY, DAY):
        parameters = f"logical_date={day},generator.n_events=3000,transformation.slice_hours=6"
        assert "Error" not in run_as(ready, "run", "--params", parameters)
    assert set(ready.rows("pipeline_runs")["status"]) <= {"SUCCESS", "UNCHANGED"}


def test_the_right_to_delete_alerts_is_asked_for(ready, monkeypatch):
    assert ready.url
    make_role(ready, monkeypatch, "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}")
    said = failed(diagnose(ready))["registry rights"]
    assert said.split(" ", 1)[1] == (
        "lacks DELETE on alerts; DELETE on incident_alerts; DELETE on incidents: as the owner of the schema run "
        "GRANT DELETE ON public.alerts, public.incident_alerts, public.incidents TO "
        f'"{ready.variables["PG_DATABASE"]}";'
    )


def test_a_number_that_the_database_draws_needs_no_right_of_its_own(ready, monkeypatch):
    assert ready.url
    make_role(ready, monkeypatch)
    grant_as_told(ready, failed(diagnose(ready))["registry rights"])
    ready.run()
    run_id = ready.rows("pipeline_runs")["run_id"].iloc[0]
    row = f"('{run_id}', 'truth', 's', '{DAY}', now(), '{{}}', '', '[]')"
    columns = "run_id, stage, source, logical_date, recorded_at, inputs, inputs_sha256, outputs"
    with connect(
        load_stores(ready.env, ready.root).engine.url.render_as_string(hide_password=False)
    ).begin() as database:
        database.execute(text(f"INSERT INTO stage_events ({columns}) VALUES {row}"))


def test_a_role_that_sees_no_schema_is_told_grant_by_grant(ready, monkeypatch):
    sql(ready, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    make_role(ready, monkeypatch)
    for _ in range(2):
        grant_as_told(ready, failed(diagnose(ready))["registry rights"])
    assert not failed(diagnose(ready))


def test_a_role_that_may_not_make_the_schema_is_told_so(served, monkeypatch):
    assert served.url
    make_role(served, monkeypatch)
    said = failed(diagnose(served))["registry rights"]
    assert "may not make tables: as the owner of the schema run GRANT CREATE ON SCHEMA public TO" in said
    grant_as_told(served, said)
    assert "registry schema: made" in run_as(served, "setup")
    assert not failed(diagnose(served))


def test_a_role_that_does_not_own_an_old_schema_is_told_who_does(ready, monkeypatch):
    sql(ready, "UPDATE alembic_version SET version_num = '0002'")
    make_role(ready, monkeypatch, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    said = failed(diagnose(ready))
    assert said["registry rights"] == "the tables belong to ops: run `kedro setup` as that user"
    assert "run `kedro setup` as the user who made them" in run_as(ready, "setup")


def test_a_database_that_takes_no_writes_is_named(ready):
    sql(ready, f"""ALTER DATABASE "{ready.variables["PG_DATABASE"]}" SET default_transaction_read_only = on""")
    assert "allows no writes" in failed(diagnose(ready))["registry rights"]


@pytest.mark.parametrize(
    ("env", "said"), [("nowhere", "there is no environment nowhere"), ("local", "conf/local holds no credentials")]
)
def test_an_environment_that_is_not_there_is_named(embedded, env, said):
    embedded.env = env
    assert said in failed(diagnose(embedded))["configuration"]


def test_own_credentials_without_a_variable_are_looked_at(ready, monkeypatch):
    text = (ready.root / "conf/minio/credentials.yml").read_text()
    values = {name: ready.variables[name] for name in re.findall(r"oc\.env:(\w+)\}", text)}
    for name, value in values.items():
        text = text.replace(f"${{oc.env:{name}}}", f'"{value}"')
    (ready.root / "conf/local").mkdir()
    (ready.root / "conf/local/credentials.yml").write_text(
        text.replace("oc.env:PG_PORT,5432", f"oc.env:PG_PORT,{ready.variables['PG_PORT']}")
    )
    ready.env = "local"
    for name in ready.variables:
        monkeypatch.delenv(name)
    findings = diagnose(ready)
    assert not failed(findings)
    assert Finding("PG_PORT", "OK", "not set, its default is used") in findings


def test_an_endpoint_without_a_scheme_is_named_before_it_is_asked(ready, monkeypatch):
    monkeypatch.setenv("MINIO_ENDPOINT_URL", "minio:9000")
    assert failed(diagnose(ready)) == {"store": "MINIO_ENDPOINT_URL is not a URL: write it as https://host:port"}


def test_a_parameter_that_is_wrong_is_named(embedded):
    path = embedded.root / "conf/base/parameters_ingestion.yml"
    path.write_text(path.read_text().replace("n_events: 100000", "n_events: -1"))
    assert "generator.n_events is -1" in failed(diagnose(embedded))["configuration"]


class Naive(http.server.BaseHTTPRequestHandler):
    """An object store that knows no conditions and whose clock is an hour slow."""

    objects: dict[str, bytes]

    def do_PUT(self):
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"")

    def do_GET(self):
        self._answer(self.objects[self.path])

    def do_HEAD(self):
        self._answer(b"")

    def do_DELETE(self):
        self.objects.pop(self.path)
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp=None) -> str:
        return formatdate(time.time() - 3600, usegmt=True)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def start_naive_store():
    handler = type("Handler", (Naive,), {"objects": {}})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.objects
        server.shutdown()


def test_a_store_that_knows_no_conditional_writes_and_a_clock_that_is_off_are_named(ready, monkeypatch):
    with start_naive_store() as (url, objects):
        monkeypatch.setenv("MINIO_ENDPOINT_URL", url)
        found = failed(diagnose(ready))
    assert re.match(r"360\d s ahead of the store", found.pop("store clock"))
    assert len(found) == LAYERS
    assert all("a second write was allowed" in said for said in found.values())
    assert objects == {}


def test_setup_mends_what_the_doctor_names(served):
    assert failed(diagnose(served))
    list(setup_stores(load_stores(served.env, served.root)))
    assert not failed(diagnose(served))
