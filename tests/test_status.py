"""How far each day is: done, stale and why, missing or failed; and that the command named next makes it done."""

import contextlib
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import pytest
import yaml
from click.testing import CliRunner
from conftest import DAY, ROOT, Project
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from network_anomalies.backfill.choices import format_params, open_project
from network_anomalies.backfill.plan import Request, choose_stages, plan_backfill
from network_anomalies.backfill.run import run_backfill
from network_anomalies.backfill.status import report_status
from network_anomalies.cli import cli
from network_anomalies.detection.limits import PastLimits, SeverityLimits
from network_anomalies.errors import ProjectError
from network_anomalies.parameters import Parameters
from network_anomalies.records.source_history import BatchRecord, Decision, RunRecord, SourceRecords, StageRecord
from network_anomalies.registry.model_rows import read_champion, roll_back
from network_anomalies.runs.configuration import ProjectConfigLoader
from network_anomalies.runs.inputs import digest_facts
from network_anomalies.runs.progress import Choices, judge_days, list_present_facts
from network_anomalies.runs.stages import MODELLING

FIRST, SECOND, THIRD = (date(2024, 4, day) for day in (18, 19, 20))
STAGES = ("ingestion", *MODELLING)
# Loud enough for a champion with truth, and small: 3,000 events in four slices.
LOUD = {"fast_scan": {"share": 0.1, "start_hour": [19, 19]}, "brute_force": {"share": 0.05, "start_hour": [20, 20]}}
SMALL = {"generator": {"n_events": 3000, "attacks": LOUD}, "transformation": {"slice_hours": 6}}

SMALL_DAYS = {
    "logical_date": str(SECOND),
    "generator__n_events": 3000,
    "generator__attacks": LOUD,
    "transformation__slice_hours": 6,
}


def invoke(project: Project, *arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; return exit code, output, errors."""
    with contextlib.chdir(project.root):
        done = CliRunner().invoke(cli, [*arguments])
    return done.exit_code, done.stdout, done.stderr


def look(project: Project, source: str | None = None, params: Mapping = SMALL) -> str:
    """Return the report of the status of a project whose days are small."""
    opened = open_project(project.root, project.env, dict(params))
    return "\n".join(report_status(opened, source, None, date(2024, 5, 1)))


def read_states(report: str) -> dict[str, str]:
    """Return the letters of a report's states by day: d, s, m or f, a stage each."""
    rows = [line.split() for line in report.splitlines() if re.match(r"\d{4}-\d\d-\d\d  ", line)]
    return {row[0][-2:]: "".join(word[0] for word in row[1:]) for row in rows}


def fill(project: Project, days: list[date] | None = None, params: Mapping = SMALL, **wishes) -> str:
    """Backfill a project whose days are small; return what the command says."""
    request = Request(**{"days": days, "names": None, "stale": False, "jobs": 1} | wishes)
    said: list[str] = []
    run_backfill(plan_backfill(request, open_project(project.root, project.env, dict(params))), said.append)
    return "\n".join(said)


def run_part(project: Project, names: list[str], **selection) -> None:
    """Run a part of pipelines on the second day."""
    with project.session(**SMALL_DAYS) as session:
        session.run(pipeline_names=names, **selection)


# --- the judgement, on records made by hand ---


@pytest.fixture(scope="module")
def choices() -> Choices:
    loader = ProjectConfigLoader(str(ROOT / "conf"), env="embedded", base_env="base", default_run_env="embedded")
    return Choices(Parameters.model_construct(**loader["parameters"]), "f" * 64)


def make_done(choices: Choices, *days: date, kind="synthetic") -> SourceRecords:
    """Return records of days that were run one after the other; the first day's model is the champion of all."""
    batches = {day: BatchRecord(f"content of {day}", 10, 10) for day in days}
    records = SourceRecords("office", kind, batches, {}, {}, [Decision(days[0], "m" * 64)])
    for day in days:
        for stage in ("ingestion", "truth", "transformation", *MODELLING[1:]):
            if stage == "truth" and kind == "logs":
                continue
            facts = list_present_facts(records, choices, day)[stage]
            record = StageRecord(f"run of {day}", facts, digest_facts(facts))
            records = replace(records, stages={**records.stages, (stage, day): record})
    return records


def change(records: SourceRecords, stage: str, day: date, **inputs: str) -> SourceRecords:
    """Return records in which the latest record of a stage has other inputs."""
    known = records.stages[stage, day]
    facts = {**known.inputs, **inputs}
    return replace(records, stages={**records.stages, (stage, day): replace(known, inputs=facts)})


def forget(records: SourceRecords, day: date, *stages: str) -> SourceRecords:
    kept = {key: record for key, record in records.stages.items() if key not in [(stage, day) for stage in stages]}
    return replace(records, stages=kept)


def letters(records: SourceRecords, choices: Choices, day: date) -> str:
    return "".join(state.state[0] for state in judge_days(records, choices, [day])[day])


def reasons(records: SourceRecords, choices: Choices, day: date) -> dict[str, str]:
    judged = judge_days(records, choices, [day])[day]
    return {state.stage: state.why for state in judged if state.why and not state.waits_for}


@pytest.mark.parametrize("kind", ["synthetic", "logs"])
def test_days_that_were_run_in_order_are_done(choices, kind):
    records = make_done(choices, FIRST, SECOND, THIRD, kind=kind)
    for day in (FIRST, SECOND, THIRD):
        assert (letters(records, choices, day), reasons(records, choices, day)) == ("dddddd", {})
    assert letters(records, choices, THIRD + timedelta(days=1)) == "mmmmmm"


def test_the_first_days_model_is_not_that_of_the_day_after(choices):
    records = make_done(choices, FIRST, SECOND)
    assert records.find_digest("training", FIRST) != records.find_digest("training", SECOND)


@pytest.mark.parametrize(
    ("group", "name", "value", "expected"),
    [
        ("generator", "seed", 8, "ssssss"),
        ("gate", "drop_duplicates", True, "ssssss"),
        ("gate", "preview_rows", 1, "dddddd"),
        ("logs", "path", "elsewhere", "dddddd"),
        ("transformation", "slice_hours", 3, "dsssss"),
        ("transformation", "slice_rows", 3, "dddddd"),
        ("training", "row_cap", 5, "ddssss"),
        ("evaluation", "drift_psi", 0.5, "dddsss"),
        ("registration", "min_gain", 0.5, "ddddss"),
        ("alerts", "budget", 5, "dddsss"),
        ("detectors", "past", PastLimits(least_hours=7), "dddsss"),
        ("detectors", "severity", SeverityLimits(high=80), "dddsss"),
        ("retention", "local_days", 1, "dddddd"),
    ],
)
def test_a_parameter_concerns_the_stages_that_it_decides_and_those_after_them(choices, group, name, value, expected):
    records = make_done(choices, FIRST, SECOND)
    parameters = choices.parameters
    changed = getattr(parameters, group).model_copy(update={name: value})
    present = replace(choices, parameters=parameters.model_copy(update={group: changed}))
    assert letters(records, present, SECOND) == expected
    assert set(reasons(records, present, SECOND).values()) <= {"parameters"}


def test_another_profile_that_is_not_used_changes_nothing(choices):
    generator = choices.parameters.generator
    campus = generator.profiles["campus"].model_copy(update={"clients": 101})
    own = {"mine": campus, "campus": campus}
    generator = generator.model_copy(update={"profiles": generator.profiles | own})
    present = replace(choices, parameters=choices.parameters.model_copy(update={"generator": generator}))
    assert letters(make_done(choices, FIRST), present, FIRST) == "dddddd"


def test_other_features_concern_every_stage_from_the_silver_on(choices):
    records = make_done(choices, FIRST, SECOND)
    present = replace(choices, features="e" * 64)
    assert letters(records, present, SECOND) == "dsssss"
    assert reasons(records, present, SECOND) == dict.fromkeys(
        ("transformation", "training", "evaluation", "scoring"), "features"
    )


def test_a_new_revision_concerns_its_day_and_the_models_of_the_days_after(choices):
    records = make_done(choices, FIRST, SECOND, THIRD)
    records = replace(records, batches={**records.batches, SECOND: BatchRecord("other content", 12, 12)})
    assert letters(records, choices, FIRST) == "dddddd"
    assert letters(records, choices, SECOND) == "msdsss"
    assert reasons(records, choices, SECOND) == {
        "ingestion": "the ground truth of this revision is missing",
        "transformation": "new revision",
    }
    records = change(records, "truth", SECOND, raw="other content")
    assert letters(records, choices, SECOND) == "dsdsss"
    assert letters(records, choices, THIRD) == "ddssss"
    waiting = judge_days(records, choices, [THIRD])[THIRD][2]
    assert (waiting.why, waiting.waits_for) == (f"waits for transformation of {SECOND}", (("transformation", SECOND),))


def test_a_day_that_arrives_late_concerns_the_models_of_the_days_after(choices):
    late = make_done(choices, SECOND).stages
    records = make_done(choices, FIRST, THIRD)
    assert letters(records, choices, THIRD) == "dddddd"
    records = replace(records, stages={**records.stages, ("transformation", SECOND): late["transformation", SECOND]})
    records = replace(records, batches={**records.batches, SECOND: BatchRecord(f"content of {SECOND}", 10, 10)})
    records = replace(records, stages={**records.stages, ("ingestion", SECOND): late["ingestion", SECOND]})
    records = replace(records, stages={**records.stages, ("truth", SECOND): late["truth", SECOND]})
    assert reasons(records, choices, THIRD) == {"training": f"silver of {SECOND} is new"}
    assert letters(records, choices, FIRST) == "dddddd"


def test_a_day_before_the_first_takes_the_place_of_the_first_hours(choices):
    records = make_done(choices, SECOND)
    earlier = make_done(choices, FIRST)
    records = replace(
        records, stages={**records.stages, **earlier.stages}, batches={**records.batches, **earlier.batches}
    )
    assert reasons(records, choices, SECOND)["training"] == (
        f"first hours of {SECOND} is gone, silver of {FIRST} is new"
    )


def test_a_day_outside_the_window_concerns_nobody(choices):
    window = timedelta(days=choices.parameters.training.window_days)
    records = make_done(choices, FIRST - window, FIRST - timedelta(days=1), FIRST, FIRST + timedelta(days=1))
    records = change(records, "transformation", FIRST - window, raw="old")
    assert letters(records, choices, FIRST) == "ddssss"
    assert letters(records, choices, FIRST + timedelta(days=1)) == "dddddd"


def test_another_champion_concerns_the_scores_of_its_days_and_the_comparison_of_those_after(choices):
    records = make_done(choices, FIRST, SECOND, THIRD)
    records = replace(records, champions=[*records.champions, Decision(SECOND, "n" * 64)])
    assert letters(records, choices, FIRST) == "dddddd"
    assert reasons(records, choices, SECOND) == {"scoring": "another champion"}
    assert reasons(records, choices, THIRD) == dict.fromkeys(("evaluation", "scoring"), "another champion")


def test_a_champion_that_is_gone_is_a_reason(choices):
    records = replace(make_done(choices, FIRST), champions=[])
    assert reasons(records, choices, FIRST) == {"scoring": "what it was made of is gone"}


def test_what_was_recorded_before_inputs_were_is_stale_and_says_so(choices):
    records = make_done(choices, FIRST)
    for stage in STAGES:
        old = replace(records.stages[stage, FIRST], inputs={"recorded": "before inputs were"}, inputs_sha256="")
        records = replace(records, stages={**records.stages, (stage, FIRST): old})
    assert letters(records, choices, FIRST) == "ssssss"
    assert set(reasons(records, choices, FIRST).values()) == {"its inputs were not recorded then"}


def test_a_batch_without_a_record_is_stale_and_not_missing(choices):
    records = forget(make_done(choices, FIRST), FIRST, "ingestion")
    assert reasons(records, choices, FIRST) == {"ingestion": "its inputs were not recorded then"}


FULL = ("ingestion", *MODELLING)


@pytest.mark.parametrize(
    ("runs", "forgotten", "expected", "failed"),
    [
        ([("r1", FULL, "FAILED")], MODELLING[1:], "ddfmmm", "training"),
        ([("r1", FULL, "ABANDONED")], MODELLING, "dfmmmm", "transformation"),
        ([("r1", FULL, "FAILED"), ("r2", FULL, "SUCCESS")], (), "dddddd", None),
        ([("r1", FULL, "FAILED"), ("r2", ("training",), "SUCCESS")], MODELLING[2:], "dddfmm", "evaluation"),
        ([("r1", FULL, "FAILED"), ("r2", MODELLING, "SUCCESS")], ("scoring",), "dddddm", None),
        ([("r1", FULL, "FAILED")], (), "dddddd", None),
        ([("r1", FULL, "RUNNING")], MODELLING[1:], "ddmmmm", "training"),
        ([("r1", ("log_ingestion",), "FAILED")], MODELLING, "dmmmmm", None),
    ],
)
def test_a_stage_has_failed_if_it_is_not_done_and_the_last_run_of_it_failed(choices, runs, forgotten, expected, failed):
    records = forget(make_done(choices, FIRST), FIRST, *forgotten)
    told = [RunRecord(run_id, stages, status, "the disk is full") for run_id, stages, status in runs]
    records = replace(records, runs={FIRST: told})
    assert letters(records, choices, FIRST) == expected
    assert list(reasons(records, choices, FIRST)) == ([failed] if failed else [])


def test_a_first_ingestion_that_failed_has_its_error(choices):
    records = SourceRecords("office", "logs", {}, {}, {FIRST: [RunRecord("r", ("log_ingestion",), "FAILED", "no")]}, [])
    assert letters(records, choices, FIRST) == "fmmmmm"
    assert reasons(records, choices, FIRST) == {"log_ingestion": "no"}


def test_a_stage_that_is_stale_and_failed_when_it_was_renewed_has_failed(choices):
    records = change(make_done(choices, FIRST), "training", FIRST, features="old")
    assert letters(records, choices, FIRST) == "ddssss"
    run = RunRecord("r2", ("training", "evaluation"), "FAILED", "no room")
    records = replace(records, runs={FIRST: [run]})
    assert reasons(records, choices, FIRST) == {"training": "no room"}


@pytest.mark.parametrize(
    ("stale", "wanted", "expected"),
    [
        (False, FULL, ()),
        (True, FULL, ("transformation", "evaluation", "registration", "scoring")),
        (True, ("scoring",), ()),
        (True, ("ingestion", "transformation"), ("transformation",)),
    ],
)
def test_only_what_is_wanted_and_due_or_follows_it_is_run(choices, stale, wanted, expected):
    records = change(make_done(choices, FIRST, SECOND, THIRD), "transformation", SECOND, features="old")
    judged = judge_days(records, choices, [SECOND])
    assert choose_stages(judged, {SECOND: wanted}, stale) == {SECOND: expected}
    later = choose_stages(judge_days(records, choices, [SECOND, THIRD]), dict.fromkeys([SECOND, THIRD], FULL), stale)
    assert later[THIRD] == (("training", "evaluation", "registration", "scoring") if stale else ())


@given(st.lists(st.sampled_from(MODELLING), unique=True), st.booleans())
def test_what_is_missing_is_always_run(choices, forgotten, stale):
    records = forget(make_done(choices, FIRST, SECOND), SECOND, *forgotten)
    chosen = choose_stages(judge_days(records, choices, [SECOND]), {SECOND: FULL}, stale)[SECOND]
    assert set(forgotten) <= set(chosen)
    assert bool(chosen) == bool(forgotten)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,5}", fullmatch=True),
        st.one_of(st.integers(), st.booleans(), st.none(), st.from_regex(r"[a-z/]{1,5}", fullmatch=True)),
    )
)
def test_parameters_are_typed_as_kedro_reads_them(params):
    from kedro.framework.cli.utils import _split_params

    nested = {"source": "office", "generator": params} if params else {"source": "office"}
    expected = {key: value for key, value in params.items() if value not in ("null", "true", "false")}
    read = _split_params(None, None, format_params(nested))
    assert {key: read.get("generator", {})[key] for key in expected} == expected


# --- the command, on a real registry ---


def test_an_empty_registry_is_one_line_with_the_first_command(embedded):
    assert invoke(embedded, "status") == (0, "nothing has run yet: kedro run\n", "")
    code, output, errors = invoke(embedded, "status", "--source", "office")
    assert (code, output) == (1, "")
    assert errors == "Error: the registry has no source office: there is none yet, `kedro run` makes the first\n"


def test_a_source_that_does_not_exist_is_one_line_that_lists_those_there_are(ready):
    ready.run()
    ready.run(source="lab")
    code, output, errors = invoke(ready, "status", "--env", "minio", "--source", "office")
    assert (code, output) == (1, "")
    assert errors == "Error: the registry has no source office: there are lab, synthetic\n"
    code, output, errors = invoke(ready, "backfill", "--env", "minio", "--stale", "--params", "source=office")
    assert errors == "Error: the registry has no source office: there are lab, synthetic\n"


def test_every_source_has_its_table_within_120_columns(embedded):
    embedded.run()
    embedded.run(source="lab")
    ten = "generator.n_events=10"
    code, output, _ = invoke(embedded, "status", "--params", ten)
    assert code == 0
    assert [line for line in output.splitlines() if line.startswith("source ")] == [
        "source lab (synthetic events)",
        "source synthetic (synthetic events)",
    ]
    tables = [line for line in output.splitlines() if not line.startswith("next: ")]
    assert max(map(len, tables)) <= 120
    assert [line for line in output.splitlines() if line.startswith("next: ")] == [
        f"next: kedro backfill --start {SECOND} --end {SECOND} --pipelines modelling --params source=lab,{ten}",
        f"next: kedro backfill --start {SECOND} --end {SECOND} --pipelines modelling --params {ten}",
    ]
    assert read_states(output) == {"19": "dmmmmm"}


def test_a_run_of_yesterday_that_fails_does_not_hide_older_days(embedded):
    embedded.run(logical_date="2024-03-01")
    with pytest.raises(ProjectError), embedded.session(logical_date="2026-11-29") as session:
        session.run(pipeline_names=["scoring"])
    assert list(read_states(look(embedded, params={"generator": {"n_events": 10}}))) == ["01"]


def test_a_command_works_in_a_folder_of_the_project(embedded):
    embedded.run()
    done = embedded.cli("status", cwd=embedded.root / "conf")
    assert done.returncode == 0 and DAY in done.stdout, done.stderr


def test_the_advice_names_the_source_where_another_one_is_usual(embedded):
    embedded.run()
    (embedded.root / "conf/local").mkdir(exist_ok=True)
    (embedded.root / "conf/local/parameters_mine.yml").write_text("source: office\n")
    code, output, _ = invoke(embedded, "status", "--source", "synthetic", "--params", "generator.n_events=10")
    assert code == 0 and "source=synthetic" in output.splitlines()[-1]


def test_gaps_are_missing_and_only_the_last_days_are_shown(embedded):
    for day in ("2024-03-01", "2024-04-01", "2024-04-03"):
        embedded.run(logical_date=day)
    report = look(embedded, params={"generator": {"n_events": 10}})
    states = read_states(report)
    assert list(states)[-1] == "03"
    assert len(states) == 14
    assert (states["01"], states["02"], states["03"]) == ("dmmmmm", "mmmmmm", "dmmmmm")
    assert "1 earlier days are not shown: --last 61 shows them" in report
    code, output, _ = invoke(embedded, "status", "--last", "2")
    assert code == 0
    assert set(read_states(output).values()) == {"mmmmmm"}
    assert len(read_states(output)) == 2
    assert invoke(embedded, "status", "--last", "0")[2].startswith("Error: --last 0: give the number of days")


def test_a_first_ingestion_that_failed_is_shown_with_its_error(embedded):
    logs = {"source": "office", "logs": {"path": str(embedded.root / "nothing.log")}}
    with pytest.raises(Exception, match="nothing"):
        embedded.run("log_ingestion", source="office", logs__path=logs["logs"]["path"])
    report = look(embedded, params={})
    assert read_states(report) == {"19": "fmmmmm"}
    assert "source office (flow logs)" in report
    assert "log_ingestion failed: " in report
    assert "next: kedro backfill --start 2024-04-19 --end 2024-04-19 --pipelines log_full" in report


@pytest.mark.parametrize(
    ("names", "selection"),
    [
        (["ingestion"], {"to_nodes": ["plan_events"]}),
        (["full"], {"node_names": ["plan_events"]}),
        (["full"], {"to_outputs": ["event_parts"]}),
    ],
)
def test_a_partial_run_counts_as_what_it_recorded(embedded, names, selection):
    run_part(embedded, names, **selection)
    assert embedded.rows("pipeline_runs")["status"].tolist() == ["SUCCESS"]
    code, output, _ = invoke(
        embedded, "backfill", "--start", str(SECOND), "--end", str(SECOND), "--pipelines", "full", "--list"
    )
    assert (code, output) == (0, f"{SECOND}  {', '.join(FULL)}\n1 of 1 days have something to run\n")
    assert invoke(embedded, "status")[1] == "nothing has run yet: kedro run\n"


def test_a_run_up_to_the_commit_leaves_the_ground_truth_missing(embedded):
    run_part(embedded, ["full"], to_nodes=["assemble_batch"])
    report = look(embedded)
    assert read_states(report) == {"19": "mmmmmm"}
    assert "the ground truth of this revision is missing" in report
    run_part(embedded, ["full"], only_missing_outputs=True)
    fill(embedded, [SECOND], names=["full"])
    assert read_states(look(embedded)) == {"19": "dddddd"}


def test_days_that_were_modelled_are_done_until_something_changes(modelled):
    report = look(modelled)
    assert read_states(report) == {"18": "dddddd", "19": "dddddd"}
    assert report.splitlines()[-1] == "nothing is missing"
    params = SMALL | {"evaluation": {"drift_psi": 0.5}, "alerts": {"budget": 7}}
    report = look(modelled, params=params)
    assert read_states(report) == {"18": "dddsss", "19": "dddsss"}
    assert "2024-04-18 to 2024-04-19: evaluation stale: parameters; scoring stale: parameters" in report
    fill(modelled, stale=True, params=params)
    assert read_states(look(modelled, params=params)) == {"18": "dddddd", "19": "dddddd"}


def test_a_correction_that_is_taken_back_makes_its_models_current_again(modelled):
    params = {"generator": SMALL["generator"] | {"seed": 8}}
    with modelled.session(logical_date=str(FIRST), **params) as session:
        session.run(pipeline_names=["ingestion"])
    present = SMALL | params
    states = read_states(look(modelled, params=present))
    assert states == {"18": "dsssss", "19": "ssssss"}
    report = look(modelled)
    assert read_states(report) == {"18": "ssssss", "19": "ddssss"}
    assert "ingestion stale: parameters; transformation stale: new revision" in report
    said = fill(modelled, stale=True)
    assert said.count("SUCCESS") == 1  # the events are those of before, so what was made of them is current again
    assert read_states(look(modelled)) == {"18": "dddddd", "19": "dddddd"}
    assert modelled.rows("ingestion_batches")["revision"].max() == 3


def test_a_correction_is_healed_with_the_models_of_the_days_after(modelled):
    params = SMALL | {"generator": SMALL["generator"] | {"seed": 8}}
    said = fill(modelled, stale=True, params=params)
    assert said.count("SUCCESS") == 2
    assert read_states(look(modelled, params=params)) == {"18": "dddddd", "19": "dddddd"}
    trained = modelled.records("training_events")[-1]["input_objects"]
    assert [(day["logical_date"], day["revision"]) for day in trained] == [(str(FIRST), 2)]


def test_a_rollback_makes_the_days_stale_whose_alerts_came_from_the_other_model(modelled):
    if read_champion(modelled.stores.engine, "synthetic").version == 1:
        roll_back(modelled.stores.engine, "synthetic", 2, "alice", "to begin with")
    fill(modelled, stale=True)
    assert read_states(look(modelled)) == {"18": "dddddd", "19": "dddddd"}
    champion = roll_back(modelled.stores.engine, "synthetic", None, "alice", "fewer false alerts")
    assert (champion.version, champion.champion_from) == (1, SECOND)
    report = look(modelled)
    assert read_states(report) == {"18": "dddddd", "19": "ddddds"}
    assert f"{SECOND}: scoring stale: another champion" in report
    assert f"next: kedro backfill --stale --start {SECOND} --end {SECOND} --pipelines modelling" in report
    fill(modelled, [SECOND], stale=True, names=["scoring"])
    assert read_states(look(modelled)) == {"18": "dddddd", "19": "dddddd"}
    alerts = modelled.rows("alerts")
    assert set(alerts.loc[alerts["logical_date"] == str(SECOND), "model_version"]) <= {1}
    assert modelled.records("stage_events")[-1]["inputs"]["champion"] == champion.model_sha256


def test_a_day_that_arrives_late_gives_the_later_one_a_longer_past(embedded):
    fill(embedded, [THIRD], names=["full"])
    alone = read_champion(embedded.stores.engine, "synthetic", THIRD)
    assert read_states(look(embedded)) == {"20": "dddddd"}
    fill(embedded, [SECOND], names=["full"])
    report = look(embedded)
    assert read_states(report) == {"19": "dddddd", "20": "ddssss"}
    assert f"{THIRD}: training stale: first hours of {THIRD} is gone, silver of {SECOND} is new" in report
    command = re.search(r"^next: (.*)$", report, re.MULTILINE)[1]
    assert command.startswith(f"kedro backfill --stale --start {THIRD} --end {THIRD} --pipelines modelling")
    said = fill(embedded, stale=True)
    assert re.search(rf"{SECOND} +DONE +3000", said)
    assert read_states(look(embedded)) == {"19": "dddddd", "20": "dddddd"}
    champion = read_champion(embedded.stores.engine, "synthetic", THIRD)
    assert champion.model_sha256 != alone.model_sha256
    assert embedded.records("stage_events")[-1]["inputs"]["champion"] == champion.model_sha256
    assert "0 of 2 days were run" in fill(embedded, stale=True)


@pytest.mark.slow(reason="three whole days on real servers, each in a process")
def test_three_days_of_full_end_done_and_a_second_backfill_finds_nothing(ready):
    days = [FIRST, SECOND, THIRD]
    said = fill(ready, days, names=["full"], jobs=2)
    assert said.splitlines()[-1].startswith("3 of 3 days were run, 0 failed; ")
    report = look(ready)
    assert read_states(report) == dict.fromkeys(("18", "19", "20"), "dddddd")
    assert report.splitlines()[-1] == "nothing is missing"
    runs = len(ready.rows("pipeline_runs"))
    said = fill(ready, days, names=["full"], stale=True)
    assert "0 of 3 days were run" in said
    assert said.count("DONE") == 3
    assert len(ready.rows("pipeline_runs")) == runs == 6
    trained = [row for row in ready.records("stage_events") if row["stage"] == "training"]
    assert [row["logical_date"] for row in trained] == days
    report = look(ready, params=SMALL | {"transformation": {"slice_hours": 12}})
    command = re.search(r"^next: (.*)$", report, re.MULTILINE)[1]
    assert "--env minio" in command
    assert "--list" not in command


def test_the_command_named_next_works_when_it_is_pasted(embedded):
    embedded.run(source="lab", generator__n_events=3000)
    params = ("--params", "generator.n_events=3000,transformation.slice_hours=6")
    _, output, _ = invoke(embedded, "status", *params)
    command = re.search(r"^next: kedro (.*)$", output, re.MULTILINE)[1]
    assert "--pipelines modelling" in command
    code, output, errors = invoke(embedded, *shlex.split(command))
    assert (code, errors) == (0, "")
    code, output, _ = invoke(embedded, "status", *params)
    assert (read_states(output), output.splitlines()[-1]) == ({"19": "dddddd"}, "nothing is missing")


def test_another_feature_specification_is_one_command(modelled, tmp_path):
    package = tmp_path / "src/network_anomalies"
    shutil.copytree(ROOT / "src/network_anomalies", package)
    storage = package / "detection/scoring/storage.py"
    other, changes = re.subn(r'"version": \d+,', '"version": 99,', storage.read_text(), count=1)
    assert changes == 1
    storage.write_text(other)
    elsewhere = {"PYTHONPATH": str(package.parent)}
    (modelled.root / "conf/embedded/parameters.yml").write_text(yaml.safe_dump(SMALL))
    report = modelled.cli("status", **elsewhere).stdout
    assert read_states(report) == {"18": "dsssss", "19": "dsssss"}
    assert "transformation stale: features" in report
    process = modelled.start("backfill", "--stale", **elsewhere)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    report = modelled.cli("status", **elsewhere).stdout
    assert read_states(report) == {"18": "dddddd", "19": "dddddd"}
    assert read_states(modelled.invoke("status").stdout) == {"18": "dsssss", "19": "dsssss"}


def test_a_registry_from_before_inputs_were_recorded_is_stale_and_heals(modelled):
    with modelled.stores.engine.begin() as connection:
        connection.execute(text("""UPDATE stage_events SET inputs = '{"recorded": "before"}', inputs_sha256 = ''"""))
        connection.execute(text("DELETE FROM stage_events WHERE stage = 'truth'"))
    report = look(modelled)
    assert read_states(report) == {"18": "ssssss", "19": "ssssss"}
    assert "its inputs were not recorded then" in report
    fill(modelled, stale=True)
    assert read_states(look(modelled)) == {"18": "dddddd", "19": "dddddd"}
    assert modelled.rows("ingestion_batches")["revision"].tolist() == [1, 1]
