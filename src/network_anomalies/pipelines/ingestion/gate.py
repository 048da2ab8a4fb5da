"""Nodes of the gate: what meets the contract becomes RAW, what does not goes to quarantine, everything is counted."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from network_anomalies.errors import ContractError
from network_anomalies.events.ahead import work_ahead
from network_anomalies.events.contract import CONTRACT_VERSION, coerce_events, find_violations, to_text
from network_anomalies.events.parts import (
    describe_part,
    digest_contents,
    encode_part,
    find_duplicates,
    to_canonical_table,
)
from network_anomalies.parameters import GateParameters
from network_anomalies.pipelines.ingestion.sources import Parts, SourceReport
from network_anomalies.runs.inputs import digest_choices, list_ingestion_facts

logger = logging.getLogger(__name__)

Objects = dict[str, bytes]
Report = dict[str, Any]
Judged = tuple[pa.Table, pd.DataFrame, dict[str, int]]
"""What ``judge_events`` returns."""
Judges = Mapping[str, Callable[[], Judged]]
"""Numbers of parts to functions that judge them."""
FATES = ("not_a_flow", "unparsable", "early", "late", "rejected", "duplicates_dropped", "accepted")
NOTED = ("duplicates", "imputed")
NAMED_FILES = 3


def validate_events(
    event_parts: Parts,
    source_report: SourceReport,
    current_objects: pd.DataFrame,
    gate: GateParameters,
    source: str,
    logical_date: date,
) -> Iterator[tuple[Objects, Objects, Objects, Report]]:
    """Hold the parts to the contract, one at a time.

    Args:
        event_parts: names to functions that read a part's events.
        source_report: of the node that made the parts.
        current_objects: the objects of the current revision; a part whose rows they hold is not stored anew.
        gate: the gate's parameters.
        source: whose events.
        logical_date: the UTC day.

    Yields:
        Quarantine objects, local copies and RAW objects, each a name to Parquet bytes, emptied when the next part is
        asked for; and the part's report.
    """
    numbered = enumerate(event_parts.values(), start=1)
    judges = {
        f"{part:04d}": partial(_read_and_judge, read, logical_date, gate.drop_duplicates) for part, read in numbered
    }
    yield from store_parts(judges, source_report, current_objects, gate, source, logical_date)


def store_parts(
    judges: Judges,
    source_report: SourceReport,
    current_objects: pd.DataFrame,
    gate: GateParameters,
    source: str,
    logical_date: date,
) -> Iterator[tuple[Objects, Objects, Objects, Report]]:
    """Judge the parts and encode what is to be stored of them, one at a time.

    Args:
        judges: the parts' numbers to functions that judge them.
        source_report: of the node that made the parts.
        current_objects: the objects of the current revision.
        gate: the gate's parameters.
        source: whose events.
        logical_date: the UTC day.

    Yields:
        What ``validate_events`` does.
    """
    provenance = {
        "contract_version": CONTRACT_VERSION,
        "source": source,
        "logical_date": str(logical_date),
        "params_sha256": _digest_choices(source_report, gate),
    }
    store = partial(_store_part, current_objects.set_index("part"), gate, provenance)
    calls = [partial(store, int(part), judge) for part, judge in judges.items()]
    for part in work_ahead(calls, ahead=2):
        yield part
        # Saved by now. Kedro's streams (itertools.tee) hold up to 57 yields, and would hold their bytes too.
        for saved in part[:3]:
            saved.clear()


def _read_and_judge(read_events: Callable[[], pd.DataFrame], day: date, drop_duplicates: bool) -> Judged:
    return judge_events(read_events(), day, drop_duplicates)


def _store_part(
    stored: pd.DataFrame, gate: GateParameters, provenance: dict[str, str], part: int, judge: Callable[[], Judged]
) -> tuple[Objects, Objects, Objects, Report]:
    accepted, rejects, counts = judge()
    report = {"part": part, "counts": counts, "rules": rejects["rule"].value_counts().to_dict(), "object": None}
    if part == 1:
        report["head"] = accepted.slice(0, gate.preview_rows).to_pandas()
    objects = {}
    if accepted.num_rows:
        data = encode_part(accepted, provenance)
        manifest = describe_part(accepted, data, part)
        report["object"] = _prefer_stored(manifest, stored) | {"rejected_count": len(rejects)}
        if report["object"]["object_sha256"] == manifest["object_sha256"]:
            objects = {manifest["file_name"].removesuffix(".parquet"): data}
    quarantine, report["rejects"] = _encode_rejects(rejects, part, provenance)
    return quarantine, objects, objects, report


def judge_events(events: pd.DataFrame, logical_date: date, drop_duplicates: bool) -> Judged:
    """Tell apart what a part holds.

    Returns:
        The accepted events as a canonical table; the rejected rows as text, as they came, with ``row``, ``rule`` and
        ``reason``; and how many rows were early, late, rejected, duplicates, duplicates_dropped, accepted.
    """
    coerced = coerce_events(events)
    start = pd.Timestamp(logical_date, tz="UTC")
    early = (coerced["timestamp"] < start).to_numpy()
    late = (coerced["timestamp"] >= start + pd.Timedelta(days=1)).to_numpy()
    other_days = early | late
    today = coerced[~other_days] if other_days.any() else coerced
    violations = find_violations(today, logical_date)
    accepted = to_canonical_table(today.drop(index=violations.index) if len(violations) else today)
    duplicates = find_duplicates(accepted)
    if drop_duplicates and duplicates.any():
        accepted = accepted.filter(pa.array(~duplicates))
    received = events.iloc[violations.index][list(coerced.columns)].apply(to_text)
    rejects = received.assign(row=violations.index, rule=violations["rule"].array, reason=violations["reason"].array)
    counts = {
        "rows": len(events),
        "early": int(early.sum()),
        "late": int(late.sum()),
        "rejected": len(rejects),
        "duplicates": int(duplicates.sum()),
        "duplicates_dropped": int(duplicates.sum()) if drop_duplicates else 0,
        "accepted": accepted.num_rows,
    }
    return accepted, rejects, counts


def summarise_quality(
    part_reports: list[Report], source_report: SourceReport, source: str, logical_date: date, run_id: str
) -> Report:
    """Add up what became of every line of the batch.

    Returns:
        ``counts`` by fate, rejections by rule, ``rejected_share`` of the day's flows, and the files that end mid-line.

    Raises:
        ContractError: the fates do not add up to the lines that came in.
    """
    files = source_report["files"]
    left_out = source_report.get("left_out") or files
    counts: Counter[str] = Counter()
    for part in (*(report["counts"] for report in part_reports), *left_out):
        counts.update({name: part[name] for name in (*FATES, *NOTED) if name in part})
    parts_rows = sum(part["counts"]["rows"] for part in part_reports)
    lines_in = sum(row["lines"] for row in left_out) if left_out else parts_rows
    if lines_in != sum(counts[fate] for fate in FATES):
        raise ContractError(f"{lines_in} lines came in and {dict(counts)} went out: run again when the files are still")
    rules: Counter[str] = Counter()
    for report in part_reports:
        rules.update(report["rules"])
    refused = counts["rejected"] + counts["unparsable"]
    judged = refused + counts["accepted"] + counts["duplicates_dropped"]
    return {
        "run_id": run_id,
        "source": source,
        "logical_date": str(logical_date),
        "contract_version": CONTRACT_VERSION,
        "counts": {"lines_in": lines_in} | {name: counts[name] for name in (*FATES, *NOTED)},
        "rules": dict(rules.most_common()),
        "rejected_share": refused / judged if judged else 0.0,
        "truncated_files": [file["path"] for file in files if file["truncated"]],
    }


def preview_batch(part_reports: list[Report], quality_summary: Report) -> None:
    """Log the batch's first events and the table of what became of its lines."""
    for report in part_reports[:1]:
        logger.info("First events of part 1:\n%s", report["head"].to_string(index=False))
    rows = {**quality_summary["counts"], **{f"rule {rule}": count for rule, count in quality_summary["rules"].items()}}
    logger.info("What became of the lines:\n%s", pd.Series(rows, dtype="int64").to_string())
    for path in quality_summary["truncated_files"]:
        logger.warning("%s ends mid-line: its last line is left out and counted as unparsable", path)


def check_quality(part_reports: list[Report], quality_summary: Report, gate: GateParameters) -> Report:
    """Return the quality report of a batch that may be committed; a refused batch leaves the former report in place.

    Raises:
        ContractError: no event is left, or more are rejected than ``max_rejected_share`` allows.
    """
    counts, name = quality_summary["counts"], f"{quality_summary['source']} on {quality_summary['logical_date']}"
    if quality_summary["rejected_share"] > gate.max_rejected_share:
        raise ContractError(
            f"{quality_summary['rejected_share']:.1%} of the flows of {name} break the contract "
            f"({_list_rules(quality_summary)}), gate.max_rejected_share allows {gate.max_rejected_share:.1%}: "
            f"see {_list_quarantine(part_reports)} in the quarantine bucket, mend the source or raise the share"
        )
    if not counts["accepted"]:
        raise ContractError(
            f"no events of {name} among {counts['lines_in']} lines ({counts['early']} early, {counts['late']} late): "
            "check logical_date and what the source delivers"
        )
    return quality_summary


def assemble_batch(
    part_reports: list[Report], quality_report: Report, source_report: SourceReport, gate: GateParameters
) -> Report:
    """Make what the registry commits: the ``batch``, its ``objects``, ``rejects``, ``files`` and ``inputs``."""
    counts = quality_report["counts"]
    objects = [report["object"] for report in part_reports if report["object"]]
    params_sha256 = _digest_choices(source_report, gate)
    batch = {
        **{key: quality_report[key] for key in ("run_id", "source", "contract_version")},
        "logical_date": date.fromisoformat(quality_report["logical_date"]),
        **counts,
        "parts": len(objects),
        "size_bytes": sum(row["size_bytes"] for row in objects),
        "content_sha256": digest_contents(row["content_sha256"] for row in objects),
        "min_timestamp": min(row["min_timestamp"] for row in objects),
        "max_timestamp": max(row["max_timestamp"] for row in objects),
        "params_sha256": params_sha256,
    }
    return {
        "batch": batch,
        "objects": objects,
        "rejects": [report["rejects"] for report in part_reports if report["rejects"]],
        "inputs": list_ingestion_facts(params_sha256, batch["contract_version"]),
        **{name: source_report[name] for name in ("kind", "format", "files")},
    }


def _digest_choices(source_report: SourceReport, gate: GateParameters) -> str:
    return source_report.get("params_sha256") or digest_choices(source_report["parameters"], gate)


def _prefer_stored(manifest: Report, stored: pd.DataFrame) -> Report:
    """Point to the current object if it holds the same rows, though another Parquet writer gave it other bytes."""
    part = manifest["part"]
    if part in stored.index and stored.at[part, "content_sha256"] == manifest["content_sha256"]:
        kept = {name: stored.at[part, name] for name in ("file_name", "object_sha256", "size_bytes")}
        return manifest | kept | {"size_bytes": int(kept["size_bytes"])}
    return manifest


def _encode_rejects(rejects: pd.DataFrame, part: int, provenance: dict[str, str]) -> tuple[Objects, Report | None]:
    """Encode rejects under a name that their bytes decide, so that a rerun or a replay finds them kept already."""
    if rejects.empty:
        return {}, None
    table = pa.Table.from_pandas(rejects.assign(part=np.int32(part)), preserve_index=False)
    # pandas has several types of text, and rejects that were read again have another one than those received.
    texts = {field.name: pa.string() for field in table.schema if pa.types.is_large_string(field.type)}
    schema = pa.schema([(field.name, texts.get(field.name, field.type)) for field in table.schema])
    data = encode_part(table.cast(schema), provenance)
    digest = hashlib.sha256(data).hexdigest()
    name = f"quarantined_events_{part:04d}_{digest[:12]}"
    row = {"part": part, "file_name": f"{name}.parquet", "record_count": len(rejects), "size_bytes": len(data)}
    return {name: data}, row | {"object_sha256": digest}


def _list_quarantine(part_reports: list[Report]) -> str:
    names = [report["rejects"]["file_name"] for report in part_reports if report["rejects"]]
    return ", ".join(names[:NAMED_FILES]) + (", ..." if len(names) > NAMED_FILES else "") or "nothing"


def _list_rules(quality_report: Report) -> str:
    counts = {"unparsable": quality_report["counts"]["unparsable"], **quality_report["rules"]}
    return ", ".join(f"{rule} {count}" for rule, count in counts.items() if count)
