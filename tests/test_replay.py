"""Quarantine by revision, and its rows put through today's gate again."""

from dataclasses import replace

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import DAY, NEXT_DAY
from test_ingestion import HEADER, write_log, zeek_line

from network_anomalies.cli import cli
from network_anomalies.errors import explain
from network_anomalies.events import contract
from network_anomalies.events.contract import OPTIONAL_COLUMNS
from network_anomalies.formats import FORMATS, zeek
from network_anomalies.records.batch import FATES

LOGS = {"pipeline": "log_ingestion", "source": "zeek", "gate__max_rejected_share": 1.0}
REPLAY = {"pipeline": "replay", "source": "zeek", "gate__max_rejected_share": 1.0}
GOOD = "".join(zeek_line(second, host=f"10.0.0.{second}") for second in range(1, 9))
BAD = zeek_line(2.5, proto="newproto") + zeek_line(3.5, proto="newproto") + zeek_line(4.5, duration="-")


@pytest.fixture
def loosen(monkeypatch):
    """Return a function that lets the contract of today know another protocol."""
    return lambda *names: monkeypatch.setattr(contract, "PROTOCOLS", contract.PROTOCOLS | set(names))


def ingest(project, text=HEADER + GOOD + BAD, **params):
    write_log(project, "conn.log", text)
    return project.run(**(LOGS | {"logs__missing__duration": "reject"} | params))


def batches(project):
    return project.rows("ingestion_batches").sort_values("revision").to_dict("records")


def account(batch):
    assert batch["lines_in"] == sum(batch[name] for name in FATES)
    return {name: batch[name] for name in ("lines_in", "rejected", "accepted", "duplicates_dropped", "imputed")}


def refusal(project, **params):
    with pytest.raises(Exception) as raised:
        project.run(**(REPLAY | params))
    return explain(raised.value)


def test_rows_that_meet_the_contract_by_now_make_a_new_revision(anywhere, loosen):
    ingest(anywhere)
    loosen("NEWPROTO")
    assert anywhere.run(**REPLAY, logs__missing__duration="reject") == "SUCCESS"
    before, after = batches(anywhere)
    lines = 17
    assert account(before) == dict(lines_in=lines, rejected=3, accepted=8, duplicates_dropped=0, imputed=0)
    assert account(after) == dict(lines_in=lines, rejected=1, accepted=10, duplicates_dropped=0, imputed=0)
    assert [batch["status"] for batch in (before, after)] == ["SUPERSEDED", "SUCCESS"]
    events = anywhere.load("raw_network_events", source="zeek")
    assert events["protocol"].tolist().count("NEWPROTO") == 2
    assert events["timestamp"].is_monotonic_increasing
    rejects = anywhere.load("quarantined_events", source="zeek")
    assert rejects["rule"].tolist() == ["duration_missing"]
    assert rejects["run_id"].tolist() == [after["run_id"]]
    run = anywhere.rows("pipeline_runs").set_index("run_id").loc[after["run_id"]]
    assert (run["pipeline"], run["status"]) == ("replay", "SUCCESS")


def test_a_replay_is_what_the_ingestion_of_the_same_logs_would_be_today(anywhere, loosen):
    ingest(anywhere)
    loosen("NEWPROTO")
    assert anywhere.run(**REPLAY) == "SUCCESS"
    replayed = batches(anywhere)[-1]
    assert account(replayed)["imputed"] == 1
    objects = anywhere.objects()
    assert ingest(anywhere, logs__missing__duration="zero") == "UNCHANGED"
    assert anywhere.objects() == objects
    _, replay, again = anywhere.records("stage_events")
    assert [row["stage"] for row in (replay, again)] == ["ingestion", "ingestion"]
    assert replay["inputs"] == again["inputs"]


def test_nothing_that_passes_is_unchanged_and_leaves_no_object_behind(anywhere):
    ingest(anywhere)
    before = [anywhere.objects(), anywhere.objects("quarantine"), batches(anywhere)]
    assert anywhere.run(**REPLAY, logs__missing__duration="reject") == "UNCHANGED"
    assert [anywhere.objects(), anywhere.objects("quarantine"), batches(anywhere)] == before


def test_one_rule_leaves_the_rows_of_the_others_as_they_are(anywhere, loosen):
    ingest(anywhere)
    before = anywhere.load("quarantined_events", source="zeek")
    loosen("NEWPROTO")
    assert anywhere.run(**REPLAY, replay__rule="duration_missing") == "SUCCESS"
    after = anywhere.load("quarantined_events", source="zeek")
    kept = before[before["rule"] == "protocol_unknown"].reset_index(drop=True)
    pd.testing.assert_frame_equal(after.drop(columns="run_id"), kept.drop(columns="run_id"))
    assert account(batches(anywhere)[-1])["imputed"] == 1
    assert anywhere.run(**REPLAY) == "SUCCESS"
    assert anywhere.load("quarantined_events", source="zeek").empty
    assert account(batches(anywhere)[-1]) == dict(lines_in=17, rejected=0, accepted=11, duplicates_dropped=0, imputed=1)


def test_rows_go_into_their_own_part_and_other_parts_keep_their_objects(anywhere, loosen):
    ingest(anywhere, logs__part_events=4)
    before = anywhere.rows("current_objects").set_index("part")
    assert len(before) == 3
    loosen("NEWPROTO")
    assert anywhere.run(**REPLAY, logs__missing__duration="reject", logs__part_events=4) == "SUCCESS"
    after = anywhere.rows("current_objects").set_index("part").sort_index()
    changed = before["object_sha256"] != after["object_sha256"]
    assert changed.tolist() == [True, False, False] or changed.sum() < 3
    assert not changed.iloc[-1]
    assert (after["min_timestamp"].iloc[1:].array > after["max_timestamp"].iloc[:-1].array).all()
    assert after["record_count"].sum() == before["record_count"].sum() + 2


def test_a_part_of_rejects_only_gets_its_first_object(anywhere, loosen):
    late = "".join(zeek_line(70000 + second, proto="newproto") for second in range(4))
    ingest(anywhere, HEADER + GOOD[: len(GOOD) // 2] + late, logs__part_events=4)
    assert anywhere.rows("current_objects")["part"].tolist() == [1]
    loosen("NEWPROTO")
    assert anywhere.run(**REPLAY) == "SUCCESS"
    assert sorted(anywhere.rows("current_objects")["part"]) == [1, 2]
    assert len(anywhere.load("raw_network_events", source="zeek")) == 8


def test_duplicates_are_dropped_and_counted_as_the_gate_says(anywhere, loosen):
    twins = zeek_line(2.5, proto="newproto") * 3
    ingest(anywhere, HEADER + zeek_line(1) * 2 + twins, gate__drop_duplicates=True)
    loosen("NEWPROTO")
    assert anywhere.run(**REPLAY, gate__drop_duplicates=True) == "SUCCESS"
    before, after = batches(anywhere)
    assert (before["duplicates_dropped"], before["duplicates"]) == (1, 1)
    assert account(after) == dict(lines_in=11, rejected=0, accepted=2, duplicates_dropped=3, imputed=0)
    assert after["duplicates"] == 3


def test_a_contract_that_became_stricter_holds_for_stored_events_too(embedded, loosen, monkeypatch):
    ingest(embedded)
    loosen("NEWPROTO")
    monkeypatch.setattr(contract, "LARGEST_PORT", 500)  # the clients' ports are 1234
    monkeypatch.setattr("network_anomalies.pipelines.ingestion.gate.CONTRACT_VERSION", "1.1.0")
    with pytest.raises(Exception, match="src_port_invalid 10"):
        embedded.run(**REPLAY | {"gate__max_rejected_share": 0.5}, logs__missing__duration="reject")
    assert len(batches(embedded)) == 1


def test_the_source_files_of_the_replayed_revision_are_carried_over(anywhere, loosen):
    ingest(anywhere)
    loosen("NEWPROTO")
    anywhere.run(**REPLAY)
    first, second = (
        rows.drop(columns="run_id").to_dict("records") for _, rows in anywhere.rows("source_files").groupby("run_id")
    )
    assert first == second and len(first) == 1
    assert anywhere.rows("sources")["kind"].tolist() == ["logs"]
    assert len(anywhere.manifests()) == 2


def test_a_synthetic_day_is_replayed_as_well(embedded, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(contract, "PROTOCOLS", contract.PROTOCOLS - {"UDP"})
        embedded.run(generator__n_events=500, gate__max_rejected_share=1.0)
    assert batches(embedded)[0]["rejected"] > 0
    assert embedded.run("replay", gate__max_rejected_share=1.0, generator__n_events=500) == "SUCCESS"
    before, after = batches(embedded)
    assert account(after) == account(before) | {"rejected": 0, "accepted": 500}
    assert after["params_sha256"] == before["params_sha256"]
    assert embedded.run(generator__n_events=500) == "UNCHANGED"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--source", "zeek", "--date", NEXT_DAY), f"source zeek has no batch on {NEXT_DAY}: its days are from {DAY}"),
        (("--source", "zek", "--date", DAY), "there is no source zek: there are synthetic, zeek"),
        (("--source", "synthetic", "--date", DAY), "nothing of source synthetic on 2024-04-19 is in quarantine"),
        (("--source", "zeek", "--date", DAY, "--rule", "nonsense"), "there is no rule nonsense: in quarantine are pro"),
        (("--source", "zeek", "--date", DAY, "--rule", "bytes_invalid"), "no row in quarantine broke the rule bytes_i"),
        (("--source", "a/b", "--date", DAY), "there is no source a/b: there are synthetic, zeek"),
    ],
)
def test_what_cannot_be_replayed_is_one_line(embedded, monkeypatch, arguments, said):
    ingest(embedded)
    embedded.run()
    result = invoke(embedded, monkeypatch, "replay", *arguments)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith(f"Error: {said}")
    assert "Traceback" not in result.output
    assert len(batches(embedded)) == 2


def invoke(project, monkeypatch, *arguments):
    monkeypatch.chdir(project.root)
    return CliRunner().invoke(cli, list(arguments), standalone_mode=True)


def test_an_empty_registry_is_one_line(embedded, monkeypatch):
    result = invoke(embedded, monkeypatch, "replay", "--source", "zeek", "--date", DAY)
    assert result.output.splitlines()[-1] == (
        "Error: no source has events yet: run ingestion, or log_ingestion for logs, first"
    )


def test_the_command_replays(embedded, monkeypatch):
    ingest(embedded)
    places = embedded.root / "conf/base/parameters_ingestion.yml"
    places.write_text(places.read_text().replace("max_rejected_share: 0.05", "max_rejected_share: 1.0"))
    result = invoke(embedded, monkeypatch, "replay", "--source", "zeek", "--date", DAY, "--rule", "duration_missing")
    assert result.exit_code == 0, result.output
    assert [batch["rejected"] for batch in batches(embedded)] == [3, 2]
    again = invoke(embedded, monkeypatch, "replay", "--source", "zeek", "--date", DAY)
    assert again.exit_code == 0
    assert embedded.rows("pipeline_runs")["status"].tolist() == ["SUCCESS", "SUCCESS", "UNCHANGED"]


def test_rejects_of_before_the_registry_named_them_are_refused(embedded):
    ingest(embedded)
    with embedded.stores.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM quarantine_objects")
    assert refusal(embedded).startswith("the 3 rejects of zeek on 2024-04-19 were stored by an earlier version")


def test_an_altered_reject_is_refused(anywhere):
    ingest(anywhere)
    anywhere.damage(anywhere.rows("quarantine_objects")["object_uri"][0])
    assert "was altered, its sha256 is not the registered one" in refusal(anywhere)


def test_quarantine_holds_the_rejects_of_the_current_revision_only(anywhere):
    bad = [zeek_line(second, proto="nonsense") for second in range(20, 27)]
    ingest(anywhere, HEADER + GOOD + "".join(bad[:5]))
    assert len(anywhere.load("quarantined_events", source="zeek")) == 5
    ingest(anywhere, HEADER + GOOD + "".join(bad))
    rejects = anywhere.load("quarantined_events", source="zeek")
    assert len(rejects) == 7
    assert rejects["run_id"].unique().tolist() == [batches(anywhere)[-1]["run_id"]]
    columns = ["timestamp", "src_ip", "dst_ip", "bytes", "duration", "protocol"]
    assert list(rejects.columns) == [
        *columns, *OPTIONAL_COLUMNS, "row", "rule", "reason", "part", "run_id"
    ]  # fmt: skip


def test_quarantine_of_a_clean_day_is_an_empty_frame_with_its_columns(anywhere):
    ingest(anywhere, HEADER + GOOD)
    rejects = anywhere.load("quarantined_events", source="zeek")
    assert rejects.empty
    assert {"timestamp", "protocol", "row", "rule", "reason", "part", "run_id"} <= set(rejects.columns)


def test_a_day_without_a_batch_has_no_quarantine_to_show(anywhere):
    with pytest.raises(Exception) as raised:
        anywhere.load("quarantined_events", source="zeek")
    assert "run the ingestion or log_ingestion pipeline of that day" in explain(raised.value)


BROKEN = [
    "garbage",
    zeek_line(3).rstrip().replace("171", "BAD", 1),
    zeek_line(4, proto="newproto").rstrip().replace("171", "BAD", 1),
]


@pytest.fixture
def mend(monkeypatch):
    """Return a function that lets the parser of today read a time that it could not read before."""

    def parse(block, header):
        return zeek.parse_lines(block.replace(b"BAD", b"171"), header)

    return lambda: monkeypatch.setitem(FORMATS, "zeek", replace(zeek.FORMAT, parse_lines=parse))


def test_lines_that_cannot_be_read_are_kept_as_they_stand(anywhere):
    ingest(anywhere, HEADER + GOOD + "\n".join(BROKEN) + "\n")
    kept = anywhere.load("quarantined_events", source="zeek")
    assert kept["text"].tolist() == BROKEN
    first = HEADER.count("\n") + 9
    assert kept["line"].tolist() == [first, first + 1, first + 2]
    assert kept["rule"].tolist() == ["unparsable"] * 3
    assert kept["file"].str.endswith("/conn.log").all()
    assert kept["reason"].str.contains("number of values|time").all()
    (batch,) = batches(anywhere)
    assert (batch["unparsable"], batch["rejected"]) == (3, 0)
    assert anywhere.run(**REPLAY) == "UNCHANGED"


def test_lines_that_can_be_read_by_now_are_judged_like_any_other(anywhere, mend):
    ingest(anywhere, HEADER + GOOD + "\n".join(BROKEN) + "\n")
    mend()
    assert anywhere.run(**REPLAY, replay__rule="unparsable") == "SUCCESS"
    after = batches(anywhere)[-1]
    account(after)
    assert (after["unparsable"], after["rejected"], after["accepted"]) == (1, 1, 9)
    kept = anywhere.load("quarantined_events", source="zeek").sort_values("rule")
    assert kept["rule"].tolist() == ["protocol_unknown", "unparsable"]
    assert kept["text"].tolist()[1:] == BROKEN[:1]
    assert anywhere.run(**REPLAY) == "UNCHANGED"
    assert anywhere.run(**REPLAY, replay__rule="protocol_unknown") == "UNCHANGED"


def test_the_command_replays_a_day_of_which_only_unparsable_lines_are_in_quarantine(embedded, monkeypatch):
    ingest(embedded, HEADER + GOOD + BROKEN[0] + "\n")
    places = embedded.root / "conf/base/parameters_ingestion.yml"
    places.write_text(places.read_text().replace("max_rejected_share: 0.05", "max_rejected_share: 1.0"))
    result = invoke(embedded, monkeypatch, "replay", "--source", "zeek", "--date", DAY)
    assert result.exit_code == 0, result.output
    assert embedded.rows("pipeline_runs")["status"].tolist() == ["SUCCESS", "UNCHANGED"]


def test_a_line_that_was_cut_short_or_too_long_is_not_read_again(embedded, mend):
    ingest(embedded, HEADER + GOOD + zeek_line(9, tunnel="x" * 2**20) + BROKEN[1][:40])
    assert embedded.load("quarantined_events", source="zeek")["rule"].tolist() == ["unparsable"] * 2
    mend()
    assert embedded.run(**REPLAY) == "UNCHANGED"
