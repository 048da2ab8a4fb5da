"""Registration: which model becomes champion, that there is one, the way back, the card, and MLflow."""

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from threading import Barrier

import pandas as pd
import pytest
import sqlalchemy
from click.testing import CliRunner
from conftest import DAY, DAY_BEFORE, SMALL_DAY
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from test_evaluation import forget_truth
from test_report import make_champion
from test_transformation import fails

from network_anomalies.cli import cli
from network_anomalies.errors import ContractError
from network_anomalies.parameters import RegistrationParameters
from network_anomalies.pipelines.registration.nodes import decide_promotion
from network_anomalies.records.evaluation import (
    Drift,
    EvaluationMetrics,
    EvaluationReceipt,
    ModelMeasures,
    RaisedFinding,
)
from network_anomalies.records.receipt import LakeObject
from network_anomalies.records.registration import JudgedDifference, ModelRegistration, PromotionDecision
from network_anomalies.records.training import TrainingDay, TrainingReceipt
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.model_rows import list_models, list_promotions, read_champion, register_model, roll_back
from network_anomalies.registry.tables import metadata, pipeline_runs, training_events, verdicts
from network_anomalies.runs.inputs import explain_change, list_registration_facts
from network_anomalies.upkeep import setup_stores

RULES = RegistrationParameters(min_gain=0.01, max_age_days=7, max_alert_ratio=1.5, verdict_days=30)
NO_VERDICTS = pd.DataFrame(columns=verdicts.c.keys())
TRAINED = datetime(2024, 4, 19, tzinfo=UTC)
WHOLE_DAY, HALF_DAY = timedelta(days=1), timedelta(hours=12)
CURRENT = {"2024-04-17": 1, DAY_BEFORE: 1}


def make_training():
    about = {"run_id": "r1", "source": "lab", "logical_date": date.fromisoformat(DAY), "inputs": {}}
    times = {"train_start": TRAINED - WHOLE_DAY, "train_end": TRAINED, "test_end": TRAINED + WHOLE_DAY}
    contents = {"size_bytes": 1, "record_count": 1, "input_objects": [], "feature_spec_sha256": "0"}
    model = LakeObject(uri="new/model.arrow", sha256="new")
    return TrainingReceipt(outputs=[model], parameters={}, reference_scores=[], **about, **times, **contents)


def make_revisions(revisions):
    return pd.DataFrame({"logical_date": map(date.fromisoformat, revisions), "revision": revisions.values()})


def decide(candidate, champion, age=0, rules=RULES, revisions=CURRENT, **known):
    """Decide between two pairs of average precision and number of alerts; the champion's training ended days ago."""
    evaluated = make_evaluation(candidate, champion)
    # When somebody registered it says nothing about its age: a past year may be run today.
    end = TRAINED - timedelta(days=age)
    row = {"model_sha256": "old", "reason": "it was best", "train_start": end - WHOLE_DAY, "train_end": end}
    day = TrainingDay(
        logical_date=date.fromisoformat(DAY_BEFORE), revision=1, transformation_run_id="t1", silver=(), raw=()
    )
    row |= {"input_objects": [day]}
    previous = make_champion(**row | known)
    return decide_promotion(evaluated, make_training(), previous, make_revisions(revisions), NO_VERDICTS, rules)


def make_evaluation(candidate, champion=None, model_sha256="new"):
    """Make the receipt of an evaluation of two pairs of average precision and number of alerts."""
    measures = [
        pair and ModelMeasures(average_precision=pair[0], alerts=pair[1], alerts_by_kind={})
        for pair in (candidate, champion)
    ]
    metrics = EvaluationMetrics(
        **{"labelled": True, "test_flows": 1, "test_slices": (), "attack_flows": 0, "model_sha256": model_sha256},
        **{"drift": Drift(psi=0.0, drifted=False), "champion_note": "it was altered"},
        **dict(zip(("candidate", "champion"), measures, strict=True)),
    )
    about = {"run_id": "r1", "source": "lab", "logical_date": date.fromisoformat(DAY), "inputs": {}}
    return EvaluationReceipt(metrics=metrics, **about)


@pytest.mark.parametrize(
    ("candidate", "champion", "promoted"),
    [
        ((0.60, 9), (0.50, 9), True),
        ((0.51, 99), (0.50, 9), True),
        ((0.505, 9), (0.50, 9), False),
        ((0.50, 0), (0.50, 9), False),
        ((0.40, 0), (0.50, 9), False),
        ((0.0, 0), (0.0, 0), False),
        ((1.0, 0), (1.0, 0), False),
    ],
)
def test_where_there_is_truth_the_gain_decides(candidate, champion, promoted):
    for age in (0, 1000):
        decision = decide(candidate, champion, age)
        assert decision.promote is promoted
        assert f"{candidate[0]:.3f} against {champion[0]:.3f}" in decision.reason


def test_an_equal_model_is_not_promoted_even_if_no_gain_is_asked_for():
    rules = RULES.model_copy(update={"min_gain": 0.0})
    assert not decide((0.5, 1), (0.5, 1), rules=rules).promote
    assert decide((0.5001, 1), (0.5, 1), rules=rules).promote


@pytest.mark.parametrize(
    ("age", "alerts", "promoted"),
    [(6, (1, 9), False), (7, (9, 9), True), (7, (13, 9), True), (7, (14, 9), False), (7, (2, 0), False)],
)
def test_without_truth_age_and_volume_decide(age, alerts, promoted):
    candidate, champion = ((None, count) for count in alerts)
    decision = decide(candidate, champion, age)
    assert decision.promote is promoted
    assert f"the champion is {age} days old" in decision.reason


def test_without_truth_a_champion_of_half_a_day_is_replaced_by_one_of_a_whole_day_if_alerts_allow():
    half = {"train_start": TRAINED - HALF_DAY, "train_end": TRAINED - timedelta(hours=1)}
    decision = decide((None, 13), (None, 9), **half)
    assert decision.promote and "knows only a part of a day" in decision.reason
    assert not decide((None, 14), (None, 9), **half).promote
    assert not decide((None, 13), (None, 9)).promote


def test_without_truth_a_champion_of_the_last_hour_of_a_day_is_replaced_too():
    last_hour = {"train_start": TRAINED - timedelta(hours=1), "train_end": TRAINED}
    assert TRAINED.hour == 0
    decision = decide((None, 9), (None, 9), **last_hour)
    assert decision.promote and "knows only a part of a day" in decision.reason


def test_with_truth_a_champion_of_half_a_day_stays_until_something_beats_it():
    half = {"train_start": TRAINED - HALF_DAY, "train_end": TRAINED - timedelta(hours=1)}
    assert not decide((0.5, 9), (0.5, 9), **half).promote


@pytest.mark.parametrize(("revisions", "said"), [({DAY_BEFORE: 2}, "1, now 2"), ({DAY: 1}, "1, now none")])
@pytest.mark.parametrize(
    ("candidate", "champion", "promoted"),
    [
        ((0.5, 9), (0.5, 9), True),
        ((0.499, 9), (0.5, 9), False),
        ((None, 13), (None, 9), True),
        ((None, 14), (None, 9), False),
    ],
)
def test_a_champion_of_superseded_revisions_is_replaced_by_an_equal_one_and_the_reason_says_which(
    revisions, said, candidate, champion, promoted
):
    decision = decide(candidate, champion, revisions=revisions)
    assert decision.promote is promoted
    assert f"trained on revisions that are no longer current ({DAY_BEFORE}: {said})" in decision.reason
    assert not decide(candidate, champion).promote


def test_the_first_model_and_one_in_place_of_a_champion_that_cannot_score_are_promoted():
    first = decide_promotion(
        make_evaluation((0.0, 0)), make_training(), None, make_revisions(CURRENT), NO_VERDICTS, RULES
    )
    assert first == PromotionDecision(True, f"first model of this source up to {DAY}")
    assert decide((0.0, 99), None) == PromotionDecision(True, "the champion cannot score: it was altered")


def test_the_champion_itself_stays_champion_for_its_own_reason():
    decision = decide((0.5, 1), (0.5, 1), model_sha256="new")
    assert decision == PromotionDecision(False, "it is the champion already: it was best")


def test_a_model_that_was_not_evaluated_is_not_judged_by_the_figures_of_another(modelled):
    with pytest.raises(ContractError, match="model new was trained and not evaluated"):
        decide_promotion(
            make_evaluation((0.0, 0), None, "other"), make_training(), None, make_revisions(CURRENT), NO_VERDICTS, RULES
        )
    before = modelled.rows("models")
    modelled.run("training", training__row_cap=1000)
    assert "was trained and not evaluated: run the evaluation pipeline" in fails(modelled, "registration")
    assert modelled.rows("models").equals(before)


def make_model(engine, number, source="lab"):
    """Write the rows of a running run and its training; return what it would register."""
    key = {"run_id": f"r{number}", "source": source, "logical_date": date(2024, 4, number)}
    run = {"pipeline": "full", "env": "test", "host": "here", "status": "RUNNING", "started_at": TRAINED}
    run |= {"code_version": "1", "params_sha256": "0" * 64}
    model = {"model_sha256": f"{number:064d}", "model_uri": f"{number}/model.arrow"}
    rest = {"size_bytes": 1, "record_count": 1, "feature_spec_sha256": "0", "code_version": "1"}
    rest |= dict.fromkeys(("trained_at", "train_start", "train_end", "test_end"), TRAINED)
    rest |= {"input_objects": [], "parameters": {}, "library_versions": {}}
    with engine.begin() as connection:
        connection.execute(insert(pipeline_runs), key | run)
        connection.execute(insert(training_events), key | model | rest)
    names = {"source": source, "run_id": f"r{number}", "training_run_id": f"r{number}"}
    return model | names | {"card_uri": f"{number}/model_card.md"}


@pytest.fixture
def engine(anywhere):
    list(setup_stores(anywhere.stores))
    return open_registry(anywhere.url)


def register(engine, row, promote, tested_against):
    """Register a model for the day that it was trained for."""
    day = date(2024, 4, int(row["run_id"][1:]))
    registration = ModelRegistration(
        run_id=row["run_id"],
        source=row["source"],
        logical_date=day,
        inputs={"evaluation": row["run_id"]},
        training_run_id=row["training_run_id"],
        model=LakeObject(uri=row["model_uri"], sha256=row["model_sha256"]),
        card_uri=row["card_uri"],
        tested_against=tested_against["model_sha256"] if tested_against else None,
        decision=PromotionDecision(promote, "because"),
    )
    return register_model(engine, registration)


def champion_of(engine, day):
    champion = read_champion(engine, "lab", date(2024, 4, day))
    return champion and champion.version


def test_registering_again_makes_no_duplicate_and_keeps_the_version(engine):
    first, second = (make_model(engine, number) for number in (1, 2))
    assert register(engine, first, True, None)["version"] == 1
    assert register(engine, second, False, first)["version"] == 2
    assert register(engine, first, True, None)["version"] == 1
    assert list_models(engine, "lab")["status"].tolist() == ["CHAMPION", "CHALLENGER"]
    assert register(engine, second, True, first)["version"] == 2
    assert list_models(engine, "lab")["status"].tolist() == ["RETIRED", "CHAMPION"]
    assert list_promotions(engine, "lab")["version"].tolist() == [1, 2]


def test_registrations_at_once_end_with_one_champion_and_no_gap(engine):
    rows = [make_model(engine, number) for number in range(1, 7)]
    start = Barrier(len(rows))

    def register_at_once(row):
        start.wait()
        return register(engine, row, True, None)

    with ThreadPoolExecutor(len(rows)) as pool:
        list(pool.map(register_at_once, rows))
    models = list_models(engine, "lab").merge(pd.DataFrame(rows)[["model_sha256", "run_id"]].assign(day=range(1, 7)))
    assert sorted(models["version"]) == [1, 2, 3, 4, 5, 6]
    assert models["status"].tolist().count("CHAMPION") == 1
    decided = list_promotions(engine, "lab")
    assert decided["status"].tolist() == ["SUCCESS"] * len(decided)
    # Whoever was not the first up to its day was never compared with the one that was, and says so.
    assert decided["logical_date"].is_monotonic_decreasing and len(decided) == len(set(decided["logical_date"]))
    refused = models[models["status"] == "CHALLENGER"]
    assert len(refused) == 6 - len(decided)
    for row in refused.itertuples():
        found = re.fullmatch(
            rf"version (\d+) became champion before 2024-04-0{row.day} meanwhile: evaluate and register again",
            row.reason,
        )
        assert found and int(found[1]) in set(decided["version"])


def test_a_champion_chosen_between_evaluation_and_registration_is_not_replaced_unseen(engine):
    first, second, third = (make_model(engine, number) for number in (1, 2, 3))
    register(engine, first, True, None)
    register(engine, second, True, first)
    found = register(engine, third, True, first)
    said = "version 2 became champion before 2024-04-03 meanwhile: evaluate and register again"
    assert (found["status"], found["reason"]) == ("CHALLENGER", said)
    assert champion_of(engine, 3) == 2


def test_a_later_model_is_never_champion_of_an_earlier_day(engine):
    first, fourth, fifth = (make_model(engine, number) for number in (2, 4, 5))
    register(engine, fourth, True, None)
    assert [champion_of(engine, day) for day in (3, 4, 9)] == [None, 1, 1]
    register(engine, first, True, None)
    assert [champion_of(engine, day) for day in (1, 2, 3, 4, 9)] == [None, 2, 2, 1, 1]
    register(engine, fifth, False, fourth)
    chosen = roll_back(engine, "lab", 3, "alice", "quieter")
    assert chosen.champion_from == date(2024, 4, 5)
    assert [champion_of(engine, day) for day in (1, 2, 4, 5, 9)] == [None, 2, 1, 3, 3]


def test_a_day_that_runs_again_takes_back_its_own_decision_and_no_other(engine):
    first, second, third = (make_model(engine, number) for number in (1, 2, 3))
    for row, before in ((first, None), (second, first), (third, second)):
        register(engine, row, True, before)
    register(engine, second, False, first)
    assert [champion_of(engine, day) for day in (1, 2, 3)] == [1, 1, 3]
    decided = list_promotions(engine, "lab")
    assert decided[["version", "status"]].to_numpy().tolist() == [[1, "SUCCESS"], [2, "SUPERSEDED"], [3, "SUCCESS"]]
    register(engine, second, True, first)
    assert [champion_of(engine, day) for day in (1, 2, 3)] == [1, 2, 3]
    assert len(list_promotions(engine, "lab")) == 4


def test_the_gate_does_not_overrule_a_person_on_the_same_day_and_may_decide_the_next(engine):
    first, second, third = (make_model(engine, number) for number in (1, 2, 3))
    register(engine, first, True, None)
    register(engine, second, True, first)
    roll_back(engine, "lab", 1, "alice", "too many alerts")
    for promote in (True, False):
        register(engine, second, promote, first)
        champion = read_champion(engine, "lab", date(2024, 4, 2))
        assert (champion.version, champion.promoted_by) == (1, "alice")
        assert champion.promotion_reason == "too many alerts"
    register(engine, third, True, first)
    assert [champion_of(engine, day) for day in (1, 2, 3)] == [1, 1, 3]


def test_the_database_refuses_a_second_champion_of_a_source_and_a_second_decision_of_a_day(engine):
    rows = [make_model(engine, number) for number in (1, 2)]
    register(engine, rows[0], True, None)
    register(engine, rows[1], False, rows[0])
    register(engine, make_model(engine, 3, "other"), True, None)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE models SET status = 'CHAMPION'"))
    assert sorted(list_models(engine, "lab")["status"]) == ["CHALLENGER", "CHAMPION"]
    roll_back(engine, "lab", 2, "alice", "newer")
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE promotions SET logical_date = '2024-04-02'"))


def command(project, monkeypatch, *arguments):
    monkeypatch.chdir(project.root)
    return CliRunner().invoke(cli, ["models", "--env", project.env, "--source", "lab", *arguments])


def test_a_champion_can_be_chosen_by_hand_and_the_choice_undone_and_the_history_stays(anywhere, engine, monkeypatch):
    rows = [make_model(engine, number) for number in (1, 2, 3)]
    for row, before in zip(rows, (None, *rows), strict=False):
        register(engine, row, row is not rows[2], before)

    def statuses():
        return list_models(engine, "lab")["status"].tolist()

    assert statuses() == ["RETIRED", "CHAMPION", "CHALLENGER"]
    said = command(anywhere, monkeypatch, "--rollback", "--by", "alice", "--reason", "too loud").output
    assert "champion of lab is version 1 (000000000000), from 2024-04-02 on" in said
    assert "alice" in said and "too loud" in said
    assert statuses() == ["CHAMPION", "RETIRED", "CHALLENGER"]
    done = command(anywhere, monkeypatch, "--promote", "3", "--by", "bob")
    assert done.exit_code == 0 and "chosen by hand" in done.output
    assert statuses() == ["RETIRED", "RETIRED", "CHAMPION"]
    command(anywhere, monkeypatch, "--rollback", "--by", "carol")
    assert statuses() == ["CHAMPION", "RETIRED", "RETIRED"]
    assert list_models(engine, "lab")["reason"].tolist() == ["because"] * 3
    decided = list_promotions(engine, "lab")
    assert decided["logical_date"].map(lambda day: day.day).tolist() == [1, 2, 2, 3, 3]
    assert decided["version"].tolist() == [1, 2, 1, 3, 1]
    assert decided["promoted_by"].tolist() == ["registration", "registration", "alice", "bob", "carol"]
    assert decided["status"].tolist() == ["SUCCESS", "SUPERSEDED", "SUCCESS", "SUPERSEDED", "SUCCESS"]
    assert decided["reason"].tolist() == ["because", "because", "too loud", "chosen by hand", "chosen by hand"]


def test_a_choice_that_cannot_be_made_is_refused_in_one_line(embedded, monkeypatch):
    engine = open_registry(embedded.url)
    nothing = command(embedded, monkeypatch)
    assert (nothing.exit_code, nothing.output) == (0, "source lab has no models yet\n")
    assert (
        "source lab has no earlier champion: `kedro models` lists"
        in command(embedded, monkeypatch, "--rollback").output
    )
    register(engine, make_model(engine, 1), True, None)
    for arguments, said in {
        ("--rollback",): "source lab has no earlier champion",
        ("--promote", "7"): "source lab has no model version 7: `kedro models` lists what there is",
        ("--promote", "1"): "version 1 of source lab is the champion already",
        (
            "--promote",
            "1",
            "--by",
            "registration",
        ): "'registration' is not the name of a person: say with --by NAME",
        ("--rollback", "--by", " "): "' ' is not the name of a person",
    }.items():
        done = command(embedded, monkeypatch, *arguments)
        assert done.exit_code == 1 and done.output.splitlines()[-1].startswith(f"Error: {said}")
    assert command(embedded, monkeypatch, "--promote", "1", "--rollback").exit_code == 2
    assert list_models(engine, "lab")["status"].tolist() == ["CHAMPION"]


def test_the_card_says_what_the_model_is_made_of_and_worth_and_lies_beside_it(modelled_days):
    for row, day in zip(modelled_days.records("models"), (DAY_BEFORE, DAY), strict=True):
        card = modelled_days.stored(row["card_uri"]).decode()
        assert row["card_uri"].rpartition("/")[0] == row["model_uri"].rpartition("/")[0]
        for said in (row["model_sha256"][:12], row["reason"], row["run_id"], f"{DAY_BEFORE} (revision 1)"):
            assert said in card
        metrics = modelled_days.load("evaluation_metrics", logical_date=day)
        assert f"| average_precision | {metrics['candidate']['average_precision']:.4g} |" in card
        assert all(attack["scenario"] in card for attack in metrics["candidate"]["attacks"])
        assert "## What the model cannot know" in card and "## Limits of the detectors" in card
        assert "nan" not in card.lower().split() and "None" not in card


def test_a_rerun_registers_nothing_and_a_worse_model_stays_challenger(modelled):
    before = modelled.rows("models")
    for stage in ("training", "evaluation"):
        modelled.run(stage)
    assert modelled.run("registration") == "UNCHANGED"
    assert modelled.rows("models").equals(before)
    modelled.run("training", training__row_cap=1)
    modelled.run("evaluation")
    modelled.run("registration", registration__min_gain=0.9)
    assert modelled.rows("models")["status"].tolist() == [*before["status"], "CHALLENGER"]


def test_a_champion_chosen_by_a_person_after_the_evaluation_is_not_replaced(modelled, monkeypatch):
    modelled.run("training", training__row_cap=1000)
    modelled.run("evaluation")
    (challenger,) = [row["version"] for row in modelled.records("models") if row["status"] != "CHAMPION"]
    monkeypatch.chdir(modelled.root)
    CliRunner().invoke(cli, ["models", "--promote", str(challenger)])
    modelled.run("registration", registration__min_gain=0.0)
    statuses = modelled.rows("models").set_index("version")["status"]
    assert statuses[challenger] == "CHAMPION" and statuses[3] == "CHALLENGER"


def slices_of_models(project, day):
    """Return, per model that a day's evaluation tested, the slices of the day that it was trained on, and tested on."""
    metrics = project.load("evaluation_metrics", logical_date=day)
    tested = set(metrics["test_slices"])
    for sha256 in filter(None, (metrics["model_sha256"], metrics["champion_sha256"])):
        row = next(row for row in project.records("training_events") if row["model_sha256"] == sha256)
        trained = {item["hour"] for one in row["input_objects"] if one["logical_date"] == day for item in one["silver"]}
        yield trained, tested


def test_no_model_is_tested_on_flows_that_it_was_trained_on_also_after_a_choice_by_hand(modelled, monkeypatch):
    monkeypatch.chdir(modelled.root)
    (later,) = [row["version"] for row in modelled.records("models") if row["version"] == 2]
    CliRunner().invoke(cli, ["models", "--promote", str(later)])
    assert modelled.rows("models").set_index("version")["status"][later] == "CHAMPION"
    for day in (DAY_BEFORE, DAY):
        modelled.run("evaluation", logical_date=day)
        for trained, tested in slices_of_models(modelled, day):
            assert tested and not trained & tested


def test_a_rerun_of_a_day_compares_with_the_champion_before_it_and_decides_the_same(modelled):
    tables = ("models", "promotions")
    before = [modelled.rows(table) for table in tables]
    metrics = {day: modelled.load("evaluation_metrics", logical_date=day) for day in (DAY_BEFORE, DAY)}
    assert metrics[DAY_BEFORE]["champion_sha256"] is None
    assert metrics[DAY]["champion_sha256"] == modelled.records("models")[0]["model_sha256"]
    for day in (DAY_BEFORE, DAY, DAY_BEFORE):
        modelled.run("training", "evaluation", "registration", logical_date=day)
        assert modelled.load("evaluation_metrics", logical_date=day) == metrics[day]
        assert all(earlier.equals(modelled.rows(table)) for earlier, table in zip(before, tables, strict=True))


def turn_clock_ahead(project, days):
    """Leave the registry as runs under a clock that is days ahead would have left it."""
    with project.stores.engine.begin() as connection:
        for table in metadata.sorted_tables:
            for name in [name for name in table.c.keys() if name.endswith("_at")]:  # noqa: SIM118
                change = f"UPDATE {table.name} SET {name} = strftime('%Y-%m-%d %H:%M:%f000', {name}, '+{days} days')"
                connection.execute(sqlalchemy.text(change))


def test_a_correction_after_a_clock_that_was_ahead_evaluates_and_registers_its_own_model(embedded):
    embedded.run("full", **SMALL_DAY)
    turn_clock_ahead(embedded, 2)
    with embedded.session(logical_date=DAY, run_id="corrected", **SMALL_DAY | {"generator__seed": 8}) as session:
        session.run(pipeline_names=["full"])
    (former, trained) = sorted(embedded.records("training_events"), key=lambda row: row["run_id"] == "corrected")
    assert former["model_sha256"] != trained["model_sha256"]
    (evaluated_own,) = [row for row in embedded.records("evaluation_events") if row["run_id"] == "corrected"]
    assert evaluated_own["model_sha256"] == trained["model_sha256"]
    champion = read_champion(embedded.stores.engine, "synthetic", date.fromisoformat(DAY))
    assert (champion.model_sha256, champion.run_id) == (trained["model_sha256"], "corrected")
    assert embedded.load("champion_model").model_sha256 == trained["model_sha256"]
    assert set(embedded.load("scores")["model_sha256"]) == {trained["model_sha256"]}


@pytest.mark.parametrize("row_cap", [1, 1000])
def test_where_there_is_truth_a_worse_model_never_becomes_champion(modelled, row_cap):
    modelled.run("training", training__row_cap=row_cap)
    modelled.run("evaluation")
    modelled.run("registration", registration__min_gain=0.0)
    metrics = modelled.load("evaluation_metrics")
    gain = metrics["candidate"]["average_precision"] - metrics["champion"]["average_precision"]
    assert (modelled.load("champion_model").model_sha256 == metrics["model_sha256"]) is (gain > 0)


def test_a_champion_of_a_superseded_revision_is_not_kept_in_silence(modelled):
    modelled.run("ingestion", "transformation", **SMALL_DAY | {"logical_date": DAY_BEFORE, "generator__seed": 8})
    modelled.run("training", "evaluation", "registration")
    metrics = modelled.load("evaluation_metrics")
    gain = metrics["candidate"]["average_precision"] - metrics["champion"]["average_precision"]
    (row,) = [row for row in modelled.records("models") if row["model_sha256"] == metrics["model_sha256"]]
    assert f"trained on revisions that are no longer current ({DAY_BEFORE}: 1, now 2)" in row["reason"]
    assert (row["status"] == "CHAMPION") is (gain >= 0)


@pytest.mark.parametrize(("ratio", "promoted"), [(1000.0, True), (0.0, False)])
def test_the_champion_of_the_first_days_half_is_replaced_without_truth_when_alerts_allow(modelled, ratio, promoted):
    forget_truth(modelled)
    modelled.run("evaluation")
    modelled.run("registration", registration__max_alert_ratio=ratio)
    champion, metrics = modelled.load("champion_model"), modelled.load("evaluation_metrics")
    assert (champion.model_sha256 == metrics["model_sha256"]) is promoted
    (row,) = [row for row in modelled.records("models") if row["model_sha256"] == metrics["model_sha256"]]
    assert "no truth; the champion is" in row["reason"] and "knows only a part of a day" in row["reason"]


MLFLOW = """
import sys
from kedro.framework.project import configure_project
configure_project("network_anomalies")
from kedro.framework.session import KedroSession
with KedroSession.create(".", runtime_params={"logical_date": "2024-04-19"}) as session:
    session.run(pipeline_names=["registration"])
print("mlflow" in sys.modules)
"""


def register_with(project, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")} | variables
    return subprocess.run(
        [sys.executable, "-c", MLFLOW], cwd=project.root, env=environment, capture_output=True, text=True, check=True
    )


def test_without_a_tracking_server_mlflow_is_not_even_loaded(modelled):
    assert register_with(modelled).stdout.endswith("False\n")


def test_mlflow_is_told_parameters_metrics_plots_and_the_model(modelled):
    import mlflow

    url = f"sqlite:///{modelled.root / 'mlflow.db'}"
    register_with(modelled, MLFLOW_TRACKING_URI=url)
    client = mlflow.MlflowClient(url)
    (run,) = client.search_runs([client.get_experiment_by_name("network-anomalies").experiment_id])
    trained = modelled.records("training_events")[-1]
    measured = modelled.load("evaluation_metrics")["candidate"]
    assert run.data.params["row_cap"] == "2000000"
    assert run.data.metrics["average_precision"] == pytest.approx(measured["average_precision"])
    assert "drift_psi" in run.data.metrics
    assert run.data.tags["model_sha256"] == trained["model_sha256"]
    folder = run.info.artifact_uri.removeprefix("file://")
    assert sorted(os.listdir(folder)) == ["model.arrow", "precision_recall.html", "score_distribution.html"]
    with open(f"{folder}/model.arrow", "rb") as file:
        assert file.read() == modelled.stored(trained["model_uri"])


def test_a_tracking_server_that_does_not_answer_is_one_warning(modelled):
    started = time.monotonic()
    done = register_with(modelled, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    said = [line for line in (done.stdout + done.stderr).splitlines() if "not logged to MLflow" in line]
    assert len(said) == 1 and "the run goes on" in said[0]
    assert time.monotonic() - started < 60
    assert modelled.rows("pipeline_runs").sort_values("started_at")["status"].iloc[-1] in ("SUCCESS", "UNCHANGED")


FOUND = ("beaconing", "10.0.0.1")


def make_verdict(verdict, finding, sequence, day=DAY_BEFORE):
    row = dict(zip(("kind", "entity"), finding, strict=True)) | {"peer": None, "verdict": verdict, "reason": "seen"}
    row |= {"sequence": sequence, "alert_id": f"{sequence}", "source": "lab", "decided_by": "alice"}
    row |= {"logical_date": date.fromisoformat(day), "last_scored": TRAINED.date(), "decided_at": TRAINED}
    return row | {"until": date(2024, 5, 1) if verdict == "dismissed" else None}


def decide_by_verdicts(candidate, champion, *decided, age=0, alerts=(9, 9), truth=None):
    """Decide between two models that raise some findings of the same day, by verdicts about earlier ones."""
    measures = [
        ModelMeasures(
            average_precision=truth,
            alerts=count,
            alerts_by_kind={},
            raised=tuple(RaisedFinding(kind=kind, entity=entity) for kind, entity in found),
        )
        for found, count in zip((candidate, champion), alerts, strict=True)
    ]
    evaluated = make_evaluation((truth, 0), (truth, 0))
    metrics = evaluated.metrics.model_copy(update=dict(zip(("candidate", "champion"), measures, strict=True)))
    end = TRAINED - timedelta(days=age)
    row = {"model_sha256": "old", "reason": "it was best", "train_start": end - WHOLE_DAY, "train_end": end}
    rows = pd.DataFrame(
        [make_verdict(*each, number) for number, each in enumerate(decided)], columns=verdicts.c.keys(), dtype="object"
    )
    champion_before = make_champion(**row, input_objects=[])
    return decide_promotion(
        replace(evaluated, metrics=metrics), make_training(), champion_before, make_revisions(CURRENT), rows, RULES
    )


def test_a_model_that_no_longer_raises_what_was_confirmed_is_refused_however_old_the_champion():
    lost = decide_by_verdicts([], [FOUND], ("confirmed", FOUND), age=100)
    assert not lost.promote
    assert lost.reason == (
        "does not replace the champion: no truth; it no longer raises what was confirmed: beaconing 10.0.0.1"
    )
    assert decide_by_verdicts([FOUND], [FOUND], ("confirmed", FOUND), age=100).promote
    assert decide_by_verdicts([], [FOUND], age=100).promote
    assert decide_by_verdicts([], [FOUND], ("confirmed", FOUND), ("dismissed", FOUND), age=100).promote


def test_a_model_that_raises_what_was_dismissed_is_refused_and_one_that_spares_it_need_not_wait():
    noisy = decide_by_verdicts([FOUND], [], ("dismissed", FOUND), age=100)
    assert not noisy.promote and "it raises what was dismissed: beaconing 10.0.0.1" in noisy.reason
    quiet = decide_by_verdicts([], [FOUND], ("dismissed", FOUND))
    assert quiet.promote and "it spares 1 dismissed findings and gains 0 confirmed ones" in quiet.reason
    assert decide_by_verdicts([FOUND], [], ("confirmed", FOUND)).promote
    assert not decide_by_verdicts([], [FOUND], ("dismissed", FOUND), alerts=(14, 9)).promote
    assert not decide_by_verdicts([], [FOUND], ("dismissed", ("ddos", "10.0.0.1"))).promote


def test_verdicts_decide_nothing_where_there_is_truth():
    decision = decide_by_verdicts([], [FOUND], ("dismissed", FOUND), truth=0.5)
    assert decision.reason.startswith("does not replace the champion: average precision")


def test_verdicts_are_facts_of_a_registration_only_where_they_tell_the_models_apart():
    plain = list_registration_facts("e", RULES)
    assert list_registration_facts("e", RULES.model_copy(update={"verdict_days": 1}), JudgedDifference()) == plain
    judged = list_registration_facts("e", RULES, JudgedDifference(lost=("ddos 10.0.0.1",)))
    assert explain_change(plain, judged) == "verdicts"
