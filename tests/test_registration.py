"""Registration: which model becomes champion, that there is one, the way back, the card, and MLflow."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from threading import Barrier

import pytest
import sqlalchemy
from click.testing import CliRunner
from conftest import DAY, DAY_BEFORE
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from test_transformation import fails

from network_anomalies.cli import cli
from network_anomalies.errors import ContractError
from network_anomalies.parameters import RegistrationParameters
from network_anomalies.pipelines.registration.nodes import decide_promotion
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.models import list_models, register_model
from network_anomalies.registry.tables import pipeline_runs, training_events
from network_anomalies.upkeep import setup_stores

RULES = RegistrationParameters(min_gain=0.01, max_age_days=7, max_alert_ratio=1.5)
TRAINED = datetime(2024, 4, 19, tzinfo=UTC)


def decide(candidate, champion, age=0, rules=RULES, **known):
    """Decide between two pairs of average precision and number of alerts; the champion's training ended days ago."""
    measured = [
        None if pair is None else dict(zip(("average_precision", "alerts"), pair, strict=True))
        for pair in (candidate, champion)
    ]
    metrics = dict(zip(("candidate", "champion"), measured, strict=True)) | {"champion_note": "it was altered"}
    previous = {"model_sha256": "old", "reason": "it was best", "train_end": TRAINED - timedelta(days=age)}
    # When somebody registered it says nothing about its age: a past year may be run today.
    previous = previous | {"registered_at": datetime.now(UTC)} | known
    return decide_promotion(evaluated(metrics), {"model_sha256": "new", "train_end": TRAINED}, previous, rules)


def evaluated(metrics, model_sha256="new"):
    return {"model_sha256": model_sha256, "metrics": metrics}


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
        assert decision["promote"] is promoted
        assert f"{candidate[0]:.3f} against {champion[0]:.3f}" in decision["reason"]


def test_an_equal_model_is_not_promoted_even_if_no_gain_is_asked_for():
    rules = RULES.model_copy(update={"min_gain": 0.0})
    assert not decide((0.5, 1), (0.5, 1), rules=rules)["promote"]
    assert decide((0.5001, 1), (0.5, 1), rules=rules)["promote"]


@pytest.mark.parametrize(
    ("age", "alerts", "promoted"),
    [(6, (1, 9), False), (7, (9, 9), True), (7, (13, 9), True), (7, (14, 9), False), (7, (2, 0), False)],
)
def test_without_truth_age_and_volume_decide(age, alerts, promoted):
    candidate, champion = ((None, count) for count in alerts)
    decision = decide(candidate, champion, age)
    assert decision["promote"] is promoted
    assert f"the champion is {age} days old" in decision["reason"]


def test_the_first_model_and_one_in_place_of_a_champion_that_cannot_score_are_promoted():
    metrics = {"candidate": {"average_precision": 0.0, "alerts": 0}, "champion": None}
    first = decide_promotion(evaluated(metrics), {"model_sha256": "new"}, {}, RULES)
    assert first == {"promote": True, "reason": "first model of this source"}
    assert decide((0.0, 99), None) == {"promote": True, "reason": "the champion cannot score: it was altered"}


def test_the_champion_itself_stays_champion_for_its_own_reason():
    decision = decide((0.5, 1), (0.5, 1), model_sha256="new")
    assert decision == {"promote": True, "reason": "it was best"}


def test_a_model_that_was_not_evaluated_is_not_judged_by_the_figures_of_another(modelled):
    with pytest.raises(ContractError, match="model new was trained and not evaluated"):
        decide_promotion(evaluated({}, "other"), {"model_sha256": "new"}, {}, RULES)
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
    return model | names | {"card_uri": f"{number}/model_card.md", "reason": "because"}


@pytest.fixture
def engine(anywhere):
    list(setup_stores(anywhere.stores))
    return open_registry(anywhere.url)


def test_registering_again_makes_no_duplicate_and_keeps_the_version(engine):
    first, second = (make_model(engine, number) for number in (1, 2))
    assert register_model(engine, first, True, None)["version"] == 1
    assert register_model(engine, second, False, first["model_sha256"])["version"] == 2
    assert register_model(engine, first, True, None)["version"] == 1
    assert list_models(engine, "lab")["status"].tolist() == ["CHAMPION", "CHALLENGER"]
    assert register_model(engine, second, True, first["model_sha256"])["version"] == 2
    assert list_models(engine, "lab")["status"].tolist() == ["RETIRED", "CHAMPION"]


def test_registrations_at_once_end_with_one_champion_and_no_gap(engine):
    rows = [make_model(engine, number) for number in range(1, 7)]
    start = Barrier(len(rows))

    def register(row):
        start.wait()
        return register_model(engine, row, True, None)

    with ThreadPoolExecutor(len(rows)) as pool:
        list(pool.map(register, rows))
    models = list_models(engine, "lab")
    assert models["version"].tolist() == [1, 2, 3, 4, 5, 6]
    assert models["status"].tolist() == ["CHAMPION"] + ["CHALLENGER"] * 5
    assert set(models["reason"][1:]) == {"version 1 became champion meanwhile: evaluate and register again"}


def test_the_database_refuses_a_second_champion_of_a_source(engine):
    for number in (1, 2):
        register_model(engine, make_model(engine, number), number == 1, None)
    register_model(engine, make_model(engine, 3, "other"), True, None)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE models SET status = 'CHAMPION'"))
    assert sorted(list_models(engine, "lab")["status"]) == ["CHALLENGER", "CHAMPION"]


def command(project, monkeypatch, *arguments):
    monkeypatch.chdir(project.root)
    return CliRunner().invoke(cli, ["models", "--env", project.env, "--source", "lab", *arguments])


def test_a_champion_can_be_chosen_by_hand_and_the_choice_undone(anywhere, engine, monkeypatch):
    for number in (1, 2, 3):
        register_model(engine, make_model(engine, number), number < 3, f"{number - 1:064d}")

    def statuses():
        return list_models(engine, "lab")["status"].tolist()

    assert statuses() == ["RETIRED", "CHAMPION", "CHALLENGER"]
    assert "champion of lab is version 1 (000000000000)" in command(anywhere, monkeypatch, "--rollback").output
    assert statuses() == ["CHAMPION", "RETIRED", "CHALLENGER"]
    done = command(anywhere, monkeypatch, "--promote", "3")
    assert done.exit_code == 0 and "chosen by hand" in done.output
    assert statuses() == ["RETIRED", "RETIRED", "CHAMPION"]
    command(anywhere, monkeypatch, "--rollback")
    assert statuses() == ["CHAMPION", "RETIRED", "RETIRED"]


def test_a_choice_that_cannot_be_made_is_refused_in_one_line(embedded, monkeypatch):
    engine = open_registry(embedded.url)
    nothing = command(embedded, monkeypatch)
    assert (nothing.exit_code, nothing.output) == (0, "source lab has no models yet\n")
    assert (
        "source lab has no earlier champion: `kedro models` lists"
        in command(embedded, monkeypatch, "--rollback").output
    )
    register_model(engine, make_model(engine, 1), True, None)
    for arguments, said in {
        ("--rollback",): "source lab has no earlier champion",
        ("--promote", "7"): "source lab has no model version 7: `kedro models` lists what there is",
        ("--promote", "1"): "version 1 of source lab is the champion already",
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
        assert "## Limits" in card and "nan" not in card.lower().split() and "None" not in card


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


def test_a_champion_chosen_after_the_evaluation_is_not_replaced_unseen(modelled, monkeypatch):
    modelled.run("training", training__row_cap=1000)
    modelled.run("evaluation")
    (challenger,) = [row["version"] for row in modelled.records("models") if row["status"] != "CHAMPION"]
    monkeypatch.chdir(modelled.root)
    CliRunner().invoke(cli, ["models", "--promote", str(challenger)])
    modelled.run("registration", registration__min_gain=0.0)
    statuses = modelled.rows("models").set_index("version")["status"]
    assert statuses[challenger] == "CHAMPION" and statuses[3] == "CHALLENGER"


MLFLOW = """
import sys
from kedro.framework.project import configure_project
configure_project("network_anomalies")
from network_anomalies.session import RunSession
with RunSession.create(".", runtime_params={"logical_date": "2024-04-19"}) as session:
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
    assert sorted(os.listdir(folder)) == [
        *("alerts_per_hour.png", "model.arrow", "precision_recall.png", "score_distribution.png")
    ]
    with open(f"{folder}/model.arrow", "rb") as file:
        assert file.read() == modelled.stored(trained["model_uri"])


def test_a_tracking_server_that_does_not_answer_is_one_warning(modelled):
    started = time.monotonic()
    done = register_with(modelled, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    said = [line for line in (done.stdout + done.stderr).splitlines() if "MLflow was not told" in line]
    assert len(said) == 1 and "the run goes on" in said[0]
    assert time.monotonic() - started < 60
    assert modelled.rows("pipeline_runs").sort_values("started_at")["status"].iloc[-1] in ("SUCCESS", "UNCHANGED")
