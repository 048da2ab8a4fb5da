"""Every layer is proved: an altered byte or row in any of them is one line that names it, and exit code 1."""

import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from conftest import DAY, DAY_BEFORE, SMALL_DAY, Project, bring_back, copy_registry
from sqlalchemy import text
from test_ingestion import HEADER, write_log, zeek_line
from test_transformation import fails

from network_anomalies.registry.alert_rows import read_alerts
from network_anomalies.registry.row_digests import digest_rows
from network_anomalies.upkeep import verify_stores

ZEEK = {"source": "zeek", "gate__max_rejected_share": 0.5, "logs__part_events": 200}


def ingest_logs(project: Project) -> None:
    """Ingest a day of logs in two revisions; the second has three parts and a rejected row."""
    write_log(project, "conn.log", HEADER + zeek_line(1))
    project.run("log_ingestion", **ZEEK)
    lines = [zeek_line(60 * place) for place in range(500)]
    write_log(project, "conn.log", HEADER + "".join(lines) + zeek_line(70_000, duration="-1"))
    project.run("log_ingestion", **ZEEK)


@pytest.fixture(scope="module")
def layered_days(modelled_days, tmp_path_factory):
    """Synthetic days with every stage, and logs with a superseded revision and quarantine; to look at only."""
    root = tmp_path_factory.mktemp("layered") / "project"
    shutil.copytree(modelled_days.root, root)
    project = Project(root)
    ingest_logs(project)
    return project


@pytest.fixture
def layered(layered_days, tmp_path):
    shutil.copytree(layered_days.root, tmp_path / "project")
    return Project(tmp_path / "project")


def verify(project: Project) -> list[str]:
    return verify_stores(project.stores, None, None).mismatches


def test_an_unaltered_project_has_no_mismatch(layered):
    done = layered.invoke("verify")
    assert done.returncode == 0, done.stdout
    assert re.fullmatch(r"\d+ objects, \d+ other files, \d+ rows verified; 0 mismatches, 0 orphans\n", done.stdout)


@dataclass(frozen=True)
class Alteration:
    """What is altered, and what the line that notices it must name."""

    alter: Callable[[Project], object]
    named: str


def sql(statement: str, named: str) -> Alteration:
    """Alter rows as somebody with a client would, foreign keys off."""

    def alter(project: Project) -> None:
        connection = sqlite3.connect(project.root / "data/registry.db")
        with connection:
            assert connection.execute(statement).rowcount > 0, "the alteration altered nothing"
        connection.close()

    return Alteration(alter, named)


def find(project: Project, pattern: str) -> Path:
    """Return the first file of the lake whose path matches."""
    lake = project.root / "data/lake"
    return min(path for path in lake.rglob("*") if path.is_file() and re.search(pattern, str(path)))


def flip(pattern: str) -> Alteration:
    def alter(project: Project) -> None:
        path = find(project, pattern)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    return Alteration(alter, pattern)


def remove(pattern: str) -> Alteration:
    return Alteration(lambda project: find(project, pattern).unlink(), pattern)


def forge_manifest(project: Project) -> None:
    """Alter a manifest and its name, so that the name is the digest of its bytes again."""
    path = find(project, r"_manifests/zeek/.*batch_0002")
    content = json.loads(path.read_bytes())
    content["batch"]["params_sha256"] = "0" * 64
    data = json.dumps(content, sort_keys=True, indent=1).encode()
    path.unlink()
    path.with_name(f"batch_0002_{hashlib.sha256(data).hexdigest()[:12]}.json").write_bytes(data)


def add_manifest(project: Project) -> None:
    """Put a manifest of a revision that nobody committed beside the others."""
    path = find(project, r"_manifests/zeek/.*batch_0002")
    content = json.loads(path.read_bytes())
    for row in (content["batch"], *content["objects"]):
        row["revision"] = 3
    data = json.dumps(content, sort_keys=True, indent=1).encode()
    path.with_name(f"batch_0003_{hashlib.sha256(data).hexdigest()[:12]}.json").write_bytes(data)


PART = "source = 'zeek' AND revision = 2 AND part = 2"
OBJECT = r"zeek.2024-04-19.network_events_\d+T\d+Z_0002"
BATCH = "zeek on 2024-04-19, revision 2"
ALTERATIONS = {
    # Bytes.
    "raw flipped": flip(r"raw/zeek/2024-04-19/network_events"),
    "raw removed": remove(r"raw/synthetic/2024-04-19/network_events"),
    "superseded raw flipped": flip(r"raw/zeek/2024-04-19/network_events_20240419T000001Z_0001"),
    "quarantine flipped": flip(r"quarantine/zeek/2024-04-19/quarantined_events"),
    "quarantine removed": remove(r"quarantine/zeek/2024-04-19/quarantined_events"),
    "manifest flipped": flip(r"_manifests/zeek/2024-04-19/batch_0001"),
    "manifest forged": Alteration(forge_manifest, f"{BATCH}.*params_sha256"),
    "manifest added": Alteration(add_manifest, "zeek on 2024-04-19, revision 3"),
    "silver flipped": flip(r"silver/synthetic/2024-04-19/silver_events"),
    "silver removed": remove(r"silver/synthetic/2024-04-19/silver_events"),
    "summary flipped": flip(r"day_summary_\w+\.arrow"),
    "model flipped": flip(r"model\.arrow"),
    "model removed": remove(r"model\.arrow"),
    "card flipped": flip(r"model_card\.md"),
    "card removed": remove(r"model_card\.md"),
    "truth flipped": flip(r"truth/synthetic/2024-04-19/truth_"),
    "scores flipped": flip(r"scores/synthetic/2024-04-19/scores_"),
    "alert lines flipped": flip(r"synthetic/2024-04-19/alerts\.jsonl"),
    "report flipped": flip(r"synthetic/2024-04-19/report\.html"),
    "metrics flipped": flip(r"synthetic/2024-04-19/evaluation_metrics\.json"),
    "quality report flipped": flip(r"zeek/2024-04-19/quality_report\.json"),
    # Rows of RAW.
    "part superseded": sql(f"UPDATE ingestion_events SET status = 'SUPERSEDED' WHERE {PART}", f"{BATCH}, part 2"),
    "part first instant": sql(
        f"UPDATE ingestion_events SET min_timestamp = '2024-04-19 03:00:00.000000' WHERE {PART}",
        f"{OBJECT}.*min_timestamp",
    ),
    "part last instant": sql(
        f"UPDATE ingestion_events SET max_timestamp = '2024-04-19 04:00:00.000000' WHERE {PART}",
        f"{OBJECT}.*max_timestamp",
    ),
    "part number": sql(f"UPDATE ingestion_events SET part = 9 WHERE {PART}", f"{OBJECT}.*file_name"),
    "part URI": sql(f"UPDATE ingestion_events SET object_uri = 'data/lake/x' WHERE {PART}", f"{OBJECT}.*object_uri"),
    "part file name": sql(f"UPDATE ingestion_events SET file_name = 'x.parquet' WHERE {PART}", "x.parquet: the object"),
    "part contract": sql(
        f"UPDATE ingestion_events SET contract_version = '0.9.0' WHERE {PART}", f"{OBJECT}.*its footer has contract"
    ),
    "part rows": sql(f"UPDATE ingestion_events SET record_count = 9 WHERE {PART}", f"{OBJECT}.*record_count"),
    "part rejected": sql(f"UPDATE ingestion_events SET rejected_count = 9 WHERE {PART}", "part 2: rejected_count"),
    "part content": sql(f"UPDATE ingestion_events SET content_sha256 = '0' WHERE {PART}", f"{OBJECT}.*content_sha256"),
    "part digest": sql(f"UPDATE ingestion_events SET object_sha256 = '0' WHERE {PART}", f"{OBJECT}.*registered"),
    "part moment": sql(
        f"UPDATE ingestion_events SET ingested_at = '2024-05-01 00:00:00.000000' WHERE {PART}",
        "part 2: ingested_at",
    ),
    "part row deleted": sql(f"DELETE FROM ingestion_events WHERE {PART}", f"{BATCH}, part 2: the row is missing"),
    "part row added": sql(
        "INSERT INTO ingestion_events SELECT run_id, source, logical_date, revision, 7, ingested_at, file_name, "
        "object_uri, record_count, rejected_count, size_bytes, object_sha256, content_sha256, min_timestamp, "
        f"max_timestamp, contract_version, status FROM ingestion_events WHERE {PART}",
        f"{BATCH}, part 7: the row is not in the manifest",
    ),
    "batch superseded": sql(
        "UPDATE ingestion_batches SET status = 'SUPERSEDED' WHERE source = 'zeek'",
        "zeek on 2024-04-19: the current revision is none, the latest is 2",
    ),
    "batch revision": sql(
        "UPDATE ingestion_batches SET revision = 5 WHERE source = 'zeek' AND revision = 2",
        f"{BATCH}, which the registry does not know",
    ),
    "batch date": sql(
        "UPDATE ingestion_batches SET logical_date = '2024-04-17' WHERE source = 'zeek' AND revision = 2",
        "zeek on 2024-04-17, revision 2",
    ),
    "batch content": sql(
        "UPDATE ingestion_batches SET content_sha256 = '0' WHERE source = 'zeek' AND revision = 2",
        f"{BATCH}: content_sha256",
    ),
    "batch counts": sql(
        "UPDATE ingestion_batches SET accepted = accepted - 1, late = late + 1 WHERE source = 'zeek' AND revision = 2",
        f"{BATCH}: accepted",
    ),
    "batch parameters": sql(
        "UPDATE ingestion_batches SET params_sha256 = '0' WHERE source = 'synthetic'",
        "synthetic on 2024-04-19, revision 1: params_sha256",
    ),
    "batch manifest digest": sql(
        "UPDATE ingestion_batches SET manifest_sha256 = substr(manifest_sha256, 1, 12) || '0' WHERE source = 'zeek'",
        f"{BATCH}: manifest_sha256",
    ),
    "batch manifest URI": sql(
        "UPDATE ingestion_batches SET manifest_uri = 'x' WHERE source = 'zeek'", f"{BATCH}: manifest_uri"
    ),
    "batch row deleted": sql(
        "DELETE FROM ingestion_batches WHERE source = 'zeek' AND revision = 2", f"{BATCH}, which the registry does not"
    ),
    "source kind": sql("UPDATE sources SET kind = 'logs' WHERE name = 'synthetic'", "sources of synthetic: kind"),
    "source row deleted": sql("DELETE FROM sources WHERE name = 'zeek'", "sources of zeek: the row is missing"),
    "run code": sql("UPDATE pipeline_runs SET code_version = 'x' WHERE source = 'zeek'", f"{BATCH}: code_version"),
    "run row deleted": sql("DELETE FROM pipeline_runs WHERE source = 'zeek'", f"pipeline_runs of {BATCH}: the row is"),
    "reject digest": sql("UPDATE quarantine_objects SET object_sha256 = '0'", "quarantined_events.*registered"),
    "reject row deleted": sql("DELETE FROM quarantine_objects", "quarantine_objects of .*, part 3: the row"),
    "source file digest": sql("UPDATE source_files SET sha256 = '0'", "source_files of .*, path .*conn.log: sha256"),
    "source file row deleted": sql("DELETE FROM source_files", "source_files of .*, path .*: the row"),
    # Rows of later stages.
    "stage inputs": sql(
        "UPDATE stage_events SET inputs = '{}' WHERE stage = 'truth'", "truth of synthetic on 2024-04-19.*inputs_sha256"
    ),
    "stage inputs digest": sql(
        "UPDATE stage_events SET inputs_sha256 = '0' WHERE stage = 'evaluation'",
        "evaluation of .*inputs_sha256",
    ),
    "stage outputs": sql(
        "UPDATE stage_events SET outputs = replace(outputs, 'sha256\": \"', 'sha256\": \"0') WHERE stage = 'scoring'",
        "scoring of synthetic",
    ),
    "stage outputs gone": sql("UPDATE stage_events SET outputs = '[]' WHERE stage = 'truth'", "outputs are empty"),
    "stage record": sql(
        "UPDATE stage_events SET record_sha256 = '0' WHERE stage = 'training'", "training_events.*record_sha256"
    ),
    "stage record gone": sql(
        "UPDATE stage_events SET record_sha256 = NULL WHERE stage = 'evaluation'", "evaluation_events.*no row"
    ),
    "stage name": sql("UPDATE stage_events SET stage = 'x' WHERE stage = 'truth'", "there is no stage x"),
    "stage date": sql(
        f"UPDATE stage_events SET logical_date = '{DAY_BEFORE}' WHERE stage = 'truth' AND logical_date = '{DAY}'",
        "truth of synthetic on 2024-04-18.*is not about",
    ),
    "stage row deleted": sql("DELETE FROM stage_events WHERE stage = 'training'", "training_events.*no row"),
    "scoring row deleted": sql("DELETE FROM stage_events WHERE stage = 'scoring'", "alerts of synthetic.*no row"),
    "ingestion row deleted": sql("DELETE FROM stage_events WHERE stage = 'ingestion'", f"{BATCH}: no row"),
    "silver rows": sql(
        "UPDATE transformation_events SET record_count = 1", "transformation_events of run .*: record_count is 1"
    ),
    "silver size": sql("UPDATE transformation_events SET size_bytes = 1", "transformation_events .*: size_bytes"),
    "silver inputs": sql(
        "UPDATE transformation_events SET input_objects = replace(input_objects, '3000', '2999')",
        "transformation_events of run .*: input_objects",
    ),
    "silver superseded": sql(
        "UPDATE transformation_events SET status = 'SUPERSEDED'", "transformation_events .*current is none"
    ),
    "silver row deleted": sql("DELETE FROM transformation_events", "transformation_events .*: the row is missing"),
    "training window": sql("UPDATE training_events SET record_count = 1", "training_events of run .*: it was altered"),
    "training row deleted": sql("DELETE FROM training_events", "training_events of run .*: the row is missing"),
    "metrics row": sql("UPDATE evaluation_events SET labelled = 0", "evaluation_events of run .*: it was altered"),
    "model reason": sql("UPDATE models SET reason = 'x'", "models synthetic version 1: it was altered"),
    "model digest": sql("UPDATE models SET model_sha256 = version", "models synthetic version 1: model_sha256"),
    "model status": sql("UPDATE models SET status = 'CHALLENGER'", "models synthetic version .: status is CHALLENGER"),
    "model card": sql("UPDATE models SET card_uri = 'x' WHERE version = 1", "models synthetic version 1: no row"),
    "model row deleted": sql("DELETE FROM models WHERE version = 1", "no row of models has its card"),
    "decision version": sql("UPDATE promotions SET version = 9", "promotions .* has no model version 9"),
    "decision superseded": sql("UPDATE promotions SET status = 'SUPERSEDED'", "models synthetic version .: status is"),
    "decision moment": sql(
        "UPDATE promotions SET promoted_at = '2024-05-01 00:00:00.000000'", "models synthetic version .: promoted_at"
    ),
    "decision deleted": sql("DELETE FROM promotions", "models synthetic version .: status is CHAMPION"),
    "alert score": sql("UPDATE alerts SET score = score + 1", "alerts of synthetic on 2024-04-19: they were altered"),
    "limit of alerts": sql(
        "UPDATE stage_events SET limits = replace(limits, '60', '61') WHERE stage = 'scoring'",
        "alerts of synthetic on 2024-04-19: they were altered, or limits",
    ),
    "limits deleted": sql(
        "UPDATE stage_events SET limits = NULL WHERE stage = 'scoring'",
        "alerts of synthetic on 2024-04-19: they were altered, or limits",
    ),
    "alert deleted": sql(
        f"DELETE FROM alerts WHERE logical_date = '{DAY}' AND rowid = (SELECT max(rowid) FROM alerts)",
        "alerts of synthetic on 2024-04-19: they were altered",
    ),
}


@pytest.mark.parametrize("alteration", ALTERATIONS.values(), ids=ALTERATIONS)
def test_an_alteration_is_noticed_and_named(layered, alteration):
    alteration.alter(layered)
    found = verify(layered)
    assert any(re.search(alteration.named, mismatch) for mismatch in found), found
    assert all("\n" not in mismatch for mismatch in found)


def test_a_scoring_from_before_limits_were_recorded_has_the_digest_of_its_alerts(layered):
    digests = {}
    for day, rows in layered.rows("alerts").groupby("logical_date"):
        raised = read_alerts(layered.stores.engine, "synthetic", date.fromisoformat(day)).sort_values(
            ["kind", "entity"]
        )
        assert len(raised) == len(rows)
        raised = raised.drop(columns=["alert_id", "facts"])  # which came later
        digests[day] = digest_rows(raised.astype("object").where(raised.notna(), None).to_dict("records"))
    update = (
        "UPDATE stage_events SET limits = NULL, record_sha256 = :sha256 WHERE stage = 'scoring' AND logical_date = :day"
    )
    with layered.stores.engine.begin() as connection:
        connection.execute(text("UPDATE alerts SET facts = NULL"))
        for day, sha256 in digests.items():
            connection.execute(text(update), {"sha256": sha256, "day": day})
    assert verify(layered) == []


def test_verifying_an_altered_project_changes_nothing_and_notices_it_again(layered):
    ALTERATIONS["part row deleted"].alter(layered)
    first = verify(layered)
    manifests = layered.manifests()
    assert verify(layered) == first and layered.manifests() == manifests


STATEMENTS = {
    "batch": "UPDATE ingestion_batches SET params_sha256 = '0'",
    "part": "UPDATE ingestion_events SET status = 'SUPERSEDED' WHERE part = 2",
    "alerts": "UPDATE stage_events SET record_sha256 = '0' WHERE stage = 'scoring'",
}


@contextmanager
def altered(project: Project, name: str) -> Iterator[None]:
    """Alter rows or an object of a layer, and put back what was there."""
    if name in STATEMENTS:
        copy = copy_registry(project)
        with project.stores.engine.begin() as connection:
            connection.execute(text(STATEMENTS[name]))
        yield
        bring_back(project, copy)
        return
    keys = {"raw": project.objects, "manifest": project.manifests}
    key = keys.get(name, lambda: project.objects("quarantine" if name == "reject" else name))()[0]
    data = project.stores.lake.cat_file(key)
    project.damage(key if project.env == "embedded" else f"s3://{key}")
    yield
    project.stores.lake.pipe_file(key, data)


def test_alterations_are_noticed_on_either_kind_of_stores(anywhere):
    ingest_logs(anywhere)
    anywhere.run("full", **SMALL_DAY | {"generator__n_events": 300})
    for name in ("raw", "manifest", "reject", "silver", *STATEMENTS):
        assert verify(anywhere) == [], f"before {name}"
        with altered(anywhere, name):
            done = anywhere.invoke("verify", "--env", anywhere.env)
        assert done.returncode == 1, name
        assert re.search(r"^MISMATCH ", done.stdout, re.MULTILINE), name
    assert verify(anywhere) == []


@pytest.mark.parametrize("named", [True, False], ids=["after a crash", "from before there were manifests"])
def test_a_missing_manifest_is_written_and_the_line_says_so(anywhere, named):
    anywhere.run()
    (manifest,), stores = anywhere.manifests(), anywhere.stores
    data = stores.lake.cat_file(manifest)
    stores.lake.rm_file(manifest)
    if not named:
        with stores.engine.begin() as connection:
            connection.execute(text("UPDATE ingestion_batches SET manifest_uri = NULL, manifest_sha256 = NULL"))
    done = anywhere.invoke("verify", "--env", anywhere.env)
    assert done.returncode == 0
    assert f"manifest of synthetic on {DAY}, revision 1 was missing, and has been written" in done.stdout
    assert anywhere.manifests() == [manifest]
    assert stores.lake.cat_file(manifest) == data
    assert verify(anywhere) == []


def test_the_next_commit_writes_the_manifest_that_the_former_one_could_not(embedded):
    embedded.run()
    (manifest,) = embedded.manifests()
    Path(manifest).unlink()
    embedded.run(generator__n_events=12)
    assert len(embedded.manifests()) == 2 and manifest in embedded.manifests()


def test_a_range_leaves_other_days_alone(layered):
    for name in ("silver flipped", "alert score", "model row deleted"):
        ALTERATIONS[name].alter(layered)
    quiet = date(2024, 4, 17)
    found = verify_stores(layered.stores, quiet, quiet)
    assert (found.objects, found.files) == (0, 0)
    assert all("models" in mismatch or "promotions" in mismatch for mismatch in found.mismatches)


def test_objects_are_read_once_however_many_rows_name_them(embedded, monkeypatch):
    for n_events in (20, 19):
        embedded.run(generator__n_events=n_events, generator__part_events=10)
    read, cat = [], type(embedded.stores.lake).cat_file
    monkeypatch.setattr(
        type(embedded.stores.lake), "cat_file", lambda fs, path, *a, **k: read.append(path) or cat(fs, path, *a, **k)
    )
    assert verify(embedded) == []
    raw = [path for path in read if "/network_events_" in path]
    assert len(raw) == len(set(raw)) == 3


def damage_champion(project: Project) -> None:
    (champion,) = [row for row in project.records("models") if row["status"] == "CHAMPION"]
    project.damage(champion["model_uri"])


# What stages read, they check themselves.
READ = {
    "part superseded": (sql(f"UPDATE ingestion_events SET status = 'SUPERSEDED' WHERE {PART}", ""), "transformation"),
    "part row deleted": (sql(f"DELETE FROM ingestion_events WHERE {PART}", ""), "transformation"),
    "last instant": (ALTERATIONS["part last instant"], "transformation"),
    "first instant": (ALTERATIONS["part first instant"], "transformation"),
    "batch superseded": (ALTERATIONS["batch superseded"], "transformation"),
    "raw flipped": (flip(r"raw/zeek/2024-04-19/network_events_\w+_0002_"), "transformation"),
    "truth flipped": (ALTERATIONS["truth flipped"], "evaluation"),
    "truth removed": (remove(r"truth/synthetic/2024-04-19/truth_"), "evaluation"),
    "summary of the day before": (flip(r"2024-04-18/day_summary_\w+\.arrow"), "training"),
    "summary": (flip(r"2024-04-19/day_summary_\w+\.arrow"), "scoring"),
    "silver": (ALTERATIONS["silver flipped"], "scoring"),
    "model": (Alteration(damage_champion, ""), "scoring"),
}


@pytest.mark.parametrize(("alteration", "stage"), READ.values(), ids=READ)
def test_a_stage_refuses_what_was_altered(layered, alteration, stage):
    alteration.alter(layered)
    params = {"source": "zeek"} if stage == "transformation" else SMALL_DAY
    said = fails(layered, stage, **params)
    assert re.search("altered|registered and missing", said) and "\n" not in said
