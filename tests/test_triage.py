"""Triage on real registries: verdicts that count at once, incidents that grow, the commands, and bad input."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from threading import Barrier

import pandas as pd
import pytest
from conftest import DAY, DAY_BEFORE, NEXT_DAY, bring_back, copy_registry
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from network_anomalies.cli.alert_pages import list_lines
from network_anomalies.errors import ProjectError
from network_anomalies.records.alerts import SourceIncidents, find_incidents, name_incident
from network_anomalies.records.verdicts import Latest, name_alert
from network_anomalies.registry.alert_rows import read_alerts
from network_anomalies.registry.alert_triage import NewVerdict, choose_days, find_by_id, read_triage, record_decision
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.incident_rows import find_alerts, read_incidents, replace_incidents
from network_anomalies.registry.tables import (
    alerts,
    incident_alerts,
    incidents,
    models,
    pipeline_runs,
    stage_events,
    training_events,
    transformation_events,
    verdicts,
)
from network_anomalies.upkeep import setup_stores
from network_anomalies.upkeep.lake_verdicts import write_verdicts

FIRST = date(2024, 4, 18)
MOMENT = datetime(2024, 4, 18, 10, tzinfo=UTC)
ADDRESS = re.compile(r"[0-9a-f]{12}")


@pytest.fixture
def engine(anywhere):
    list(setup_stores(anywhere.stores))
    return open_registry(anywhere.url)


def add_day(engine, day, *rows, source="lab"):
    """Write a day's run, model and alerts as scoring does, and group them; rows are (kind, entity, peer)."""
    key = {"run_id": f"{source}-{day}", "source": source, "logical_date": FIRST + timedelta(days=day)}
    run = {"pipeline": "full", "env": "test", "host": "here", "status": "RUNNING", "started_at": MOMENT}
    run |= {"code_version": "1", "params_sha256": "0" * 64}
    silver = {"revision": 1, "transformed_at": MOMENT, "input_objects": [], "output_objects": [], "status": "SUCCESS"}
    sizes = {"record_count": 1, "size_bytes": 1, "feature_spec_sha256": "0"}
    model = {"model_sha256": f"{source}{day}", "model_uri": "m"}
    trained = dict.fromkeys(("trained_at", "train_start", "train_end", "test_end"), MOMENT) | {"code_version": "1"}
    trained |= {"input_objects": [], "parameters": {}, "library_versions": {}}
    registered = {"card_uri": "c", "registered_at": MOMENT, "status": "CHALLENGER", "reason": "first"}
    registered |= {"source": source, "version": day + 1, "run_id": key["run_id"], "training_run_id": key["run_id"]}
    scored = {"stage": "scoring", "recorded_at": MOMENT, "inputs": {}, "inputs_sha256": "", "outputs": []}
    with engine.begin() as connection:
        connection.execute(insert(pipeline_runs), key | run)
        connection.execute(insert(transformation_events), key | silver | sizes)
        connection.execute(insert(training_events), key | model | sizes | trained)
        connection.execute(insert(models), model | registered)
        connection.execute(insert(stage_events), key | scored)
        for kind, entity, peer in rows:
            connection.execute(insert(alerts), make_row(key, day, kind, entity, peer))
    group(engine, source)


def make_row(key, day, kind, entity, peer):
    moment = MOMENT + timedelta(days=day)
    values = {"created_at": moment, "first_seen": moment, "last_seen": moment, "flows": 3, "score": 70.0}
    values |= {"severity": "medium", "sentence": f"{entity} does {kind}", "peer": peer, "kind": kind, "entity": entity}
    values |= {"transformation_run_id": key["run_id"], "model_version": day + 1, "technique": None}
    alert_id = name_alert(key["source"], key["logical_date"], kind, entity)
    return key | values | {"alert_id": alert_id, "facts": [{"name": "calls", "value": 9.0, "limit": 5.0}]}


def group(engine, source="lab"):
    with engine.connect() as connection:
        known = find_alerts(connection, source)
    replace_incidents(engine, SourceIncidents(source, find_incidents(known, Latest(), 7), 7))


def count(engine, table):
    with engine.connect() as connection:
        return len(connection.execute(select(table)).all())


def decide(engine, prefix, verdict, person="alice", **more):
    more |= {"until": datetime.now(UTC).date()} if verdict == "dismissed" and "until" not in more else {}
    return record_decision(engine, prefix, NewVerdict(verdict=verdict, reason="seen", person=person, **more), 7)


def find_id(day, kind, entity, source="lab"):
    return name_alert(source, FIRST + timedelta(days=day), kind, entity)


BEACON = ("beaconing", "10.0.0.1", "10.0.0.9")
FLOOD = ("ddos", "10.0.0.2", None)


def test_a_new_day_extends_an_open_incident_and_a_rerun_changes_nothing(engine):
    add_day(engine, 0, BEACON)
    (first,) = read_incidents(engine, "lab", FIRST).to_dict("records")
    add_day(engine, 1, BEACON, FLOOD)
    found = read_incidents(engine, "lab", FIRST + timedelta(days=1))
    assert set(found.columns) >= {"incident_id", "state", "severity", "score", "first_day", "last_day", "sentence"}
    assert found["alerts"].tolist() == [2, 1] or found["alerts"].tolist() == [1, 2]
    grown = found.set_index("incident_id").loc[first["incident_id"]]
    assert (grown["first_day"], grown["last_day"], grown["alerts"]) == (FIRST, FIRST + timedelta(days=1), 2)
    before = [count(engine, table) for table in (incidents, incident_alerts)]
    group(engine)
    assert [count(engine, table) for table in (incidents, incident_alerts)] == before == [2, 3]


def test_an_earlier_day_that_comes_later_joins_and_the_former_id_still_leads_there(engine):
    add_day(engine, 1, BEACON)
    former = read_incidents(engine, "lab", FIRST + timedelta(days=1))["incident_id"].iloc[0]
    add_day(engine, 0, BEACON)
    (incident,) = read_incidents(engine, "lab", FIRST).to_dict("records")
    assert incident["incident_id"] == name_incident(find_id(0, *BEACON[:2])) != former
    found = find_by_id(engine, former)
    assert found.is_incident and found.incident.incident_id == incident["incident_id"]
    assert find_by_id(engine, former[:7]).incident.alerts == 2


def test_a_dismissed_habit_is_suppressed_at_once_on_days_that_were_raised_before(engine):
    for day in range(3):
        add_day(engine, day, BEACON, FLOOD)
    found, (verdict,) = decide(engine, find_id(1, *BEACON[:2]), "dismissed")
    assert (verdict.sequence, verdict.peer, verdict.last_scored) == (1, "10.0.0.9", FIRST + timedelta(days=2))
    assert found.alerts[0].state == "dismissed"
    by_day = [
        read_alerts(engine, "lab", FIRST + timedelta(days=day)).set_index("kind")["suppressed_by"] for day in range(3)
    ]
    assert [answer["beaconing"] for answer in by_day[1:]] == ["verdict 1 by alice"] * 2
    assert by_day[0].isna().all() and all(pd.isna(answer["ddos"]) for answer in by_day)
    assert read_alerts(engine, "lab", FIRST + timedelta(days=1))["kind"].tolist() == ["ddos", "beaconing"]
    # The table has what scoring said, so its digest stays what it was.
    with engine.connect() as connection:
        assert set(connection.execute(select(alerts.c.suppressed_by)).scalars()) == {None}
    (listed,) = [each for each in read_triage(engine, "lab", None).shares if each.kind == "beaconing"]
    assert (listed.alerts, listed.dismissed, listed.suppressed) == (2, 1, 1)


def test_a_dismissed_alert_is_no_raised_one_in_the_list_as_in_the_report(engine):
    add_day(engine, 0, BEACON, FLOOD)
    decide(engine, find_id(0, *BEACON[:2]), "dismissed")
    lines = list(list_lines([read_triage(engine, "lab", FIRST)], 200))
    assert lines[0] == "lab on 2024-04-18: 2 incidents, 1 alert, 1 suppressed"


def test_an_incident_is_decided_as_a_whole(engine):
    for day in range(2):
        add_day(engine, day, BEACON)
    incident_id = name_incident(find_id(0, *BEACON[:2]))
    found, decided = decide(engine, incident_id, "confirmed")
    assert (len(decided), found.incident.state) == (2, "confirmed")
    found, decided = decide(engine, incident_id[:6], "closed", "bob")
    assert (len(decided), found.incident.state, found.incident.alerts) == (2, "closed", 2)
    assert [verdict.verdict for verdict in found.verdicts] == ["confirmed"] * 2 + ["closed"] * 2
    add_day(engine, 2, BEACON)
    states = read_incidents(engine, "lab", FIRST + timedelta(days=2))
    assert states[["state", "alerts"]].to_numpy().tolist() == [["open", 1]]


def test_two_people_at_once_leave_two_rows_and_the_latest_counts(engine):
    add_day(engine, 0, BEACON, FLOOD)
    start = Barrier(4)

    def decide_at_once(number):
        start.wait()
        return decide(engine, find_id(0, *BEACON[:2]), ("confirmed", "dismissed")[number % 2], f"p{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decide_at_once, range(4)))
    found = find_by_id(engine, find_id(0, *BEACON[:2]))
    assert sorted(verdict.decided_by for verdict in found.verdicts) == ["p0", "p1", "p2", "p3"]
    last = max(found.verdicts, key=lambda verdict: verdict.sequence)
    assert found.alerts[0].verdict == last and found.alerts[0].state == last.verdict
    assert found.incident.state == {"confirmed": "confirmed", "dismissed": "closed"}[last.verdict]


def test_days_grouped_at_once_leave_every_alert_in_one_incident(engine):
    for day in range(3):
        add_day(engine, day, BEACON, FLOOD)
    with engine.begin() as connection:
        connection.execute(incident_alerts.delete())
        connection.execute(incidents.delete())
    start = Barrier(3)

    def group_at_once(_number):
        start.wait()
        group(engine)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(group_at_once, range(3)))
    assert [count(engine, table) for table in (incidents, incident_alerts)] == [2, 6]


def test_verdicts_survive_the_alerts(engine):
    add_day(engine, 0, BEACON, FLOOD)
    decide(engine, find_id(0, *BEACON[:2]), "confirmed")
    with engine.begin() as connection:
        row = dict(connection.execute(select(alerts).where(alerts.c.kind == "beaconing")).mappings().one())
        connection.execute(alerts.delete())
    group(engine)
    assert [count(engine, table) for table in (alerts, incidents, incident_alerts)] == [0, 0, 0]
    with engine.begin() as connection:
        connection.execute(insert(alerts), row | {"score": 99.0})
    group(engine)
    assert read_incidents(engine, "lab", FIRST)[["state", "score"]].to_numpy().tolist() == [["confirmed", 99.0]]


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("ffffffffffff", "there is no alert or incident ffffffffffff: `kedro alerts` lists"),
        ("", "'' is no id"),
        ("xyz", "'xyz' is no id: an id has up to 12 digits from 0-9 and a-f"),
        ("%", "is no id"),
        ("0123456789abc", "is no id"),
    ],
)
def test_what_no_id_is_is_refused_in_one_line(engine, prefix, said):
    add_day(engine, 0, BEACON)
    with pytest.raises(ProjectError, match=re.escape(said)):
        decide(engine, prefix, "confirmed")
    assert count(engine, verdicts) == 0


def test_the_beginning_of_several_ids_names_them_and_their_sources(engine):
    hosts = [("ddos", f"10.0.{number // 250}.{number % 250}", None) for number in range(40)]
    add_day(engine, 0, *hosts)
    add_day(engine, 0, *hosts, source="other")
    names = [name_alert(source, FIRST, *host[:2]) for source in ("lab", "other") for host in hosts]
    first = max((name[0] for name in names), key=[name[0] for name in names].count)
    with pytest.raises(ProjectError, match=rf"{first} is the beginning of \d+ ids, .*\(lab\).*: give more digits"):
        find_by_id(engine, first)
    # The same habit in two sources is two alerts.
    assert find_by_id(engine, name_alert("other", FIRST, *hosts[0][:2])).alerts[0].alert.source == "other"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"reason": " "}, "a decision needs a reason"),
        ({"person": ""}, "a decision needs the name of a person"),
        ({"until": date(2024, 1, 1)}, "--until 2024-01-01 is over: give today"),
    ],
)
def test_a_decision_without_a_reason_a_person_or_a_future_is_refused(engine, more, said):
    add_day(engine, 0, BEACON)
    given = {"verdict": "dismissed", "reason": "seen", "person": "alice", "until": datetime.now(UTC).date()} | more
    with pytest.raises(ProjectError, match=said):
        record_decision(engine, find_id(0, *BEACON[:2]), NewVerdict(**given), 7)
    assert count(engine, verdicts) == 0


def test_the_database_refuses_a_verdict_that_there_is_not(engine):
    add_day(engine, 0, BEACON)
    decide(engine, find_id(0, *BEACON[:2]), "confirmed")
    with engine.connect() as connection:
        row = dict(connection.execute(select(verdicts)).mappings().one())
    del row["sequence"]
    for changes in ({"verdict": "perhaps"}, {"verdict": "dismissed"}, {"until": date(2030, 1, 1)}):
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.execute(insert(verdicts), row | changes)


def test_which_day_is_listed(engine):
    with pytest.raises(ProjectError, match="there are no scored days"):
        choose_days(engine, None, None, every_day=False)
    add_day(engine, 0, BEACON)
    add_day(engine, 1)
    add_day(engine, 0, FLOOD, source="other")
    assert choose_days(engine, None, None, every_day=False) == {"lab": FIRST + timedelta(days=1), "other": FIRST}
    assert choose_days(engine, "lab", FIRST, every_day=True) == {"lab": FIRST}
    assert choose_days(engine, "other", None, every_day=True) == {"other": None}
    assert choose_days(engine, None, FIRST + timedelta(days=1), every_day=True) == {"lab": FIRST + timedelta(days=1)}
    with pytest.raises(ProjectError, match="source lab has no scores of 2024-04-25"):
        choose_days(engine, "lab", date(2024, 4, 25), every_day=True)
    with pytest.raises(ProjectError, match="source nobody has no scored days"):
        choose_days(engine, "nobody", None, every_day=False)
    assert read_triage(engine, "lab", FIRST + timedelta(days=1)).alerts == []


def decide_and_write(project, engine, *names):
    for name in names:
        _, decided = decide(engine, name, "dismissed")
        write_verdicts(project.stores, decided)


def test_a_lost_registry_gets_its_verdicts_back_from_the_lake(anywhere, engine):
    add_day(engine, 0, BEACON, FLOOD)
    decide_and_write(anywhere, engine, find_id(0, *BEACON[:2]))
    older = copy_registry(anywhere)
    decide_and_write(anywhere, engine, find_id(0, *FLOOD[:2]), find_id(0, *BEACON[:2]))
    every = anywhere.rows("verdicts").drop(columns="sequence")
    bring_back(anywhere, older)
    done = anywhere.invoke("verify", "--env", anywhere.env)
    assert (
        done.returncode == 1 and done.stdout.count("is in the lake and not in the registry: run `kedro restore`") == 2
    )
    refused = anywhere.invoke("alerts", "confirm", find_id(0, *FLOOD[:2]), "--reason", "x", "--env", anywhere.env)
    assert "the lake has 2 verdicts about alerts of lab that the registry does not know" in refused.stderr
    assert "would restore 2 verdicts" in anywhere.invoke("restore", "--list", "--env", anywhere.env).stdout
    assert "restored 2 verdicts" in anywhere.invoke("restore", "--env", anywhere.env).stdout
    assert anywhere.rows("verdicts").drop(columns="sequence").equals(every)
    assert anywhere.rows("verdicts")["sequence"].is_monotonic_increasing
    assert set(anywhere.rows("incidents")["state"]) == {"closed"}
    assert "verdicts" not in anywhere.invoke("restore", "--env", anywhere.env).stdout


def test_verify_writes_a_verdict_that_a_crash_kept_from_the_lake_and_notices_an_altered_one(anywhere, engine):
    add_day(engine, 0, BEACON, FLOOD)
    decide(engine, find_id(0, *BEACON[:2]), "confirmed")
    done = anywhere.invoke("verify", "--env", anywhere.env).stdout
    assert re.search(r"verdict of .* by alice about alert \w+ was not in the lake, and is written now", done)
    assert "was not in the lake" not in anywhere.invoke("verify", "--env", anywhere.env).stdout
    with engine.begin() as connection:
        connection.execute(verdicts.update().values(reason="other"))
    done = anywhere.invoke("verify", "--env", anywhere.env).stdout
    assert "the registry's row is not what the lake has, it was altered" in done
    with engine.begin() as connection:
        connection.execute(verdicts.update().values(reason="seen"))
    anywhere.stores.lake.invalidate_cache()
    (path,) = anywhere.stores.lake.find(f"{anywhere.stores.buckets['raw']}/_verdicts")
    anywhere.damage(f"s3://{path}" if anywhere.env == "minio" else path)
    assert "was altered: bring the former bytes back" in anywhere.invoke("verify", "--env", anywhere.env).stdout
    assert "orphan" not in anywhere.invoke("verify", "--env", anywhere.env).stdout.replace("0 orphans", "")


def run_in_terminal(project, *arguments, columns=60):
    done = project.cli(*arguments, COLUMNS=str(columns))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_commands_from_the_list_to_a_closed_incident(modelled):
    """From the list of a day to a closed incident, in a terminal of 60 columns."""
    lines = run_in_terminal(modelled, "alerts")
    assert re.match(rf"synthetic on {DAY}: \d incidents?, \d alerts?, 0 suppressed", lines[0])
    assert all(len(line) <= 60 for line in lines)
    first_incident, first_alert = (
        next(place for place, line in enumerate(lines) if word in line) for word in (" incident  ", " alert  ")
    )
    assert first_incident < first_alert
    incident_id, alert_id = (lines[place].split()[0] for place in (first_incident, first_alert))
    assert lines[-1] == f"next: kedro alerts show {incident_id}"

    shown = "\n".join(run_in_terminal(modelled, "alerts", "show", alert_id[:8]))
    raised = modelled.load("alerts").set_index("alert_id").loc[alert_id]
    for section in ("FACTS", "FLOWS", "LINEAGE", "EARLIER ALERTS OF THE SAME HOSTS", "VERDICTS"):
        assert section in shown
    assert raised["entity"] in shown and raised["run_id"] in shown and "normal is" in shown
    assert f"kedro query \"SELECT * FROM flows WHERE (src_ip = '{raised['entity']}'" in shown
    assert shown.count(" -> ") == 10
    (raw,) = modelled.load("current_objects")["object_sha256"]
    assert f"({raw[:12]})" in shown

    decided = modelled.invoke("alerts", "dismiss", alert_id, "--reason", "our \x1b[31mscanner\u202e", "--by", "alice")
    assert decided.returncode == 0 and "dismissed until" in decided.stdout and "is closed" in decided.stdout
    listed = modelled.invoke("alerts", "--date", DAY, "--open").stdout
    assert alert_id not in listed
    shown = modelled.invoke("alerts", "show", alert_id).stdout
    assert "our <U+001B>[31mscanner<U+202E>" in shown and "\x1b" not in shown
    plain = json.loads(modelled.invoke("alerts", "--json", "--date", DAY).stdout)
    (entry,) = [alert for alert in plain[0]["alerts"] if alert["alert_id"] == alert_id]
    assert (entry["state"], entry["verdict"]["decided_by"]) == ("dismissed", "alice")
    assert entry["facts"] and all(fact["sentence"] for fact in entry["facts"])
    assert set(modelled.load("incidents")["state"]) >= {"closed"}
    # The day is not stale by that: it has all alerts that were found.
    assert modelled.run("scoring") == "UNCHANGED"
    assert modelled.load("alerts").set_index("alert_id").loc[alert_id, "suppressed_by"] == "verdict 1 by alice"
    assert alert_id not in modelled.load("alert_lines").to_json()
    assert "0 mismatches" in modelled.invoke("verify").stdout


def test_a_day_without_alerts_and_a_lost_object_are_said(modelled):
    with modelled.stores.engine.begin() as connection:
        connection.execute(alerts.delete().where(alerts.c.logical_date == date.fromisoformat(DAY_BEFORE)))
    lines = modelled.invoke("alerts", "--date", DAY_BEFORE).stdout.splitlines()
    assert lines == [f"synthetic on {DAY_BEFORE}: 0 incidents, 0 alerts, 0 suppressed"]
    unscored = modelled.invoke("alerts", "--date", NEXT_DAY)
    assert unscored.returncode == 1 and f"there are no scores of {NEXT_DAY}" in unscored.stderr
    alert_id = modelled.load("alerts")["alert_id"].iloc[0]
    modelled.remove(modelled.load("current_objects")["object_uri"].iloc[0])
    done = modelled.invoke("alerts", "show", alert_id)
    said = " ".join(done.stdout.split())
    assert done.returncode == 0 and "they cannot be read: " in said and "is registered and missing" in said
    assert "LINEAGE" in said
    lost = modelled.invoke("alerts", "show", "abc123abc123")
    assert (lost.returncode, lost.stderr.count("\n")) == (1, 1)


def test_a_dismissal_frees_a_place_in_a_spent_budget_and_makes_the_day_stale_until_it_has_run(modelled):
    assert len(modelled.load("alerts")) > 1
    modelled.run("scoring", alerts__budget=1)
    (first,) = modelled.load("alerts").to_dict("records")
    chosen = ["status", "--params", "generator.n_events=3000,transformation.slice_hours=6,alerts.budget=1"]
    before = modelled.invoke(*chosen).stdout
    assert modelled.invoke("alerts", "dismiss", first["alert_id"], "--reason", "known").returncode == 0
    after = modelled.invoke(*chosen).stdout
    assert "verdicts" in after and "verdicts" not in before
    assert modelled.run("scoring", alerts__budget=1) == "SUCCESS"
    now = modelled.load("alerts")
    assert now["suppressed_by"].isna().tolist() == [True, False]
    assert "verdicts" not in modelled.invoke(*chosen).stdout
    assert modelled.invoke("alerts", "confirm", first["alert_id"], "--reason", "it is one").returncode == 0
    assert "verdicts" in modelled.invoke(*chosen).stdout
