"""Models and decisions about champions: rows compared with trainings, registrations and each other."""

from collections.abc import Iterator, Mapping

from network_anomalies.registry.manifests import Row
from network_anomalies.registry.model_rows import digest_model
from network_anomalies.upkeep.snapshot import Range, Snapshot
from network_anomalies.upkeep.verify_stages import is_from_before, name_event

SHARED_COLUMNS = ("source", "model_sha256", "model_uri")
"""Columns in which a model's row must equal the row of its training."""


def check_models(snapshot: Snapshot, dates: Range) -> Iterator[str]:
    """Compare the models that were trained for some dates with their trainings and registrations."""
    trainings = {row["run_id"]: row for row in snapshot.own_rows["training"]}
    registered = [event for event in snapshot.stages if event["stage"] == "registration"]
    cards = {item["uri"]: event for event in registered for item in event["outputs"]}
    before = {event["run_id"] for event in registered if is_from_before(event)}
    for model in snapshot.models:
        training, event = trainings.get(model["training_run_id"]), cards.get(model["card_uri"])
        name = f"models {model['source']} version {model['version']}"
        if training is None:
            if None in dates:
                yield f"{name}: its training of run {model['training_run_id']} is missing"
            continue
        for column in SHARED_COLUMNS:
            if model[column] != training[column]:
                yield f"{name}: {column} is {model[column]}, {training[column]} in training_events"
        if event is None and model["run_id"] not in before:
            yield f"{name}: no row of stage_events names it and its card {model['card_uri']}"
        elif event is not None and digest_model(model) != event["record_sha256"]:
            yield f"{name}: it was altered, or record_sha256 of {name_event(event)} was"
    registered_cards = {model["card_uri"] for model in snapshot.models}
    for card, event in cards.items():
        if card not in registered_cards and event["logical_date"] in dates:
            yield f"{name_event(event)}: no row of models has its card {card}"


def check_decisions(snapshot: Snapshot) -> Iterator[str]:
    """Compare the status of the models with the decisions about champions."""
    versions = {(model["source"], model["version"]) for model in snapshot.models}
    decided: dict[tuple[str, int], Row] = {}
    champions: dict[str, Row] = {}
    for row in snapshot.promotions:
        key = (row["source"], row["version"])
        decided[key] = row
        if key not in versions:
            yield f"promotions {row['sequence']}: source {row['source']} has no model version {row['version']}"
        if row["status"] == "SUCCESS" and _is_later(row, champions.get(row["source"])):
            champions[row["source"]] = row
    for model in snapshot.models:
        yield from _check_state(model, decided.get((model["source"], model["version"])), champions)


def _is_later(row: Row, other: Row | None) -> bool:
    return other is None or row["logical_date"] >= other["logical_date"]


def _check_state(model: Row, decision: Row | None, champions: Mapping[str, Row]) -> Iterator[str]:
    champion = champions.get(model["source"])
    if champion and champion["version"] == model["version"]:
        state = "CHAMPION"
    else:
        state = "RETIRED" if decision else "CHALLENGER"
    promoted_at = decision["promoted_at"] if decision else None
    name = f"models {model['source']} version {model['version']}"
    if model["status"] != state:
        yield f"{name}: status is {model['status']}, its promotions give {state}"
    if model["promoted_at"] != promoted_at:
        yield f"{name}: promoted_at is {model['promoted_at']}, its promotions give {promoted_at}"
