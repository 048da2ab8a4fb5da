"""Nodes that split the silver of a window of days in time, and fit a model to the earlier part."""

import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from network_anomalies.detection import (
    fit,
    merge_histories,
    merge_summaries,
    remember,
    score,
    summarise,
    to_bytes,
    unpack_summary,
)
from network_anomalies.detection.scoring.storage import feature_spec_sha256
from network_anomalies.errors import ContractError
from network_anomalies.parameters import TrainingParameters
from network_anomalies.records.silver_day import SilverDay
from network_anomalies.runs.inputs import list_training_facts

Report = dict[str, Any]
QUANTILES = 20
DRIFT_ROWS = 200_000


def split_window(
    history_slices: list[SilverDay],
    training: TrainingParameters,
    logical_date: date,
    transformation_events: Report,
) -> Report:
    """Split silver in time: the days before the date are to train on, the date is to test on.

    Where there are no days before, the date itself is split: its first hours are to train on. Of the earlier days the
    latest slices up to ``row_cap`` events are taken.

    Args:
        history_slices: the days that have silver, the date included.
        training: the window's parameters.
        logical_date: the UTC day.
        transformation_events: the receipt of the date's silver, so that it is there before the history is read.

    Returns:
        ``slices`` to train on, in order of time, each with ``logical_date``, ``hour``, ``rows`` and ``read``; their
        ``days``; ``train_start``, ``train_end`` and ``test_end``; and ``inputs``, what decides the model.

    Raises:
        ContractError: the date has no silver.
    """
    if history_slices[-1].logical_date != logical_date:
        raise ContractError(f"there is no silver of {logical_date} to test on: run the transformation of that day")
    slices = [entry for one in history_slices for entry in _list_slices(one)]
    earlier = [entry for entry in slices if entry["logical_date"] < logical_date]
    chosen = _take_latest(earlier, training.row_cap) if earlier else _take_first(slices, training)
    end = _start_of(logical_date) if earlier else chosen[-1]["start"] + timedelta(hours=chosen[-1]["hours"])
    return {
        "slices": chosen,
        "days": [one for one in history_slices if one.logical_date in {entry["logical_date"] for entry in chosen}],
        "train_start": chosen[0]["start"],
        "train_end": end,
        "test_end": _start_of(logical_date) + timedelta(days=1),
        "inputs": list_training_facts(
            {one.logical_date: one.inputs_sha256 for one in history_slices},
            logical_date,
            training,
            feature_spec_sha256(),
        ),
    }


def train_model(training_split: Report, training: TrainingParameters, run_id: str) -> tuple[dict[str, bytes], Report]:
    """Fit the model and describe what it was made of.

    Returns:
        The model under a name of its digest; and the row of ``training_events``.
    """
    slices = training_split["slices"]
    reads = [entry["read"] for entry in slices]
    model = fit(reads, merge_histories(_remember_day(one, slices) for one in training_split["days"]))
    data = to_bytes(model)
    digest = hashlib.sha256(data).hexdigest()
    report = {
        "run_id": run_id,
        "inputs": training_split["inputs"],
        "outputs": [{"file_name": f"{digest[:12]}/model.arrow", "sha256": digest}],
        "model_file": f"{digest[:12]}/model.arrow",
        "model_sha256": digest,
        "size_bytes": len(data),
        **{name: training_split[name] for name in ("train_start", "train_end", "test_end")},
        "record_count": sum(entry["rows"] for entry in slices),
        "input_objects": [_describe_day(one, slices) for one in training_split["days"]],
        "parameters": training.model_dump() | {"reference_scores": _sketch_scores(reads, model)},
        "feature_spec_sha256": feature_spec_sha256(),
    }
    return {f"{digest[:12]}/model": data}, report


def _list_slices(one: SilverDay) -> list[dict[str, Any]]:
    objects = [item for item in one.objects if item["kind"] == "slice"]
    hours = [int(item["hour"]) for item in objects]
    return [
        {
            "logical_date": one.logical_date,
            "hour": item["hour"],
            "hours": item["hours"],
            "start": _start_of(one.logical_date) + timedelta(hours=hour),
            "rows": item["record_count"],
            "read": one.slices[item["hour"]],
        }
        for item, hour in zip(objects, hours, strict=True)
    ]


def _take_latest(slices: list[dict[str, Any]], row_cap: int) -> list[dict[str, Any]]:
    rows = np.cumsum([entry["rows"] for entry in slices[::-1]])
    kept = max(int(np.searchsorted(rows, row_cap, side="right")), 1)
    return slices[-kept:]


def _take_first(slices: list[dict[str, Any]], training: TrainingParameters) -> list[dict[str, Any]]:
    """Take the first hours of a day, at least one, and leave at least one where there are two."""
    rows = np.cumsum([entry["rows"] for entry in slices])
    kept = int(np.searchsorted(rows, training.train_share * rows[-1])) + 1
    return slices[: max(min(kept, len(slices) - 1), 1)]


def _remember_day(one: SilverDay, slices: list[dict[str, Any]]) -> Any:
    """Return a day's history: of its stored summary if all of it is trained on, else of the slices that are."""
    own = [entry for entry in slices if entry["logical_date"] == one.logical_date]
    if len(own) == len(one.slices):
        return remember(unpack_summary(one.read_summary()))
    return remember(merge_summaries(summarise(entry["read"]()) for entry in own))


def _describe_day(one: SilverDay, slices: list[dict[str, Any]]) -> Report:
    """Return the exact objects that a day gave to the training, silver and RAW, with their hashes."""
    hours = {entry["hour"] for entry in slices if entry["logical_date"] == one.logical_date}
    silver = [item for item in one.objects if item.get("hour") in hours]
    return {
        "logical_date": str(one.logical_date),
        "revision": one.revision,
        "transformation_run_id": one.run_id,
        "silver": [{name: item[name] for name in ("hour", "uri", "sha256")} for item in silver],
        "raw": [{name: item[name] for name in ("uri", "sha256")} for item in one.raw_objects],
    }


def _sketch_scores(reads: list[Callable[[], pd.DataFrame]], model: Any) -> list[float]:
    """Return quantiles of the scores of the latest training slices, what later scores are compared with."""
    scores: list[np.ndarray] = []
    for read in reads[::-1]:
        scores.append(score(read(), model)["score"].to_numpy())
        if sum(map(len, scores)) >= DRIFT_ROWS:
            break
    return [float(value) for value in np.quantile(np.concatenate(scores), np.linspace(0, 1, QUANTILES + 1))]


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
