"""Nodes of the gate: what meets the contract becomes RAW, what does not goes to quarantine, everything is counted."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from network_anomalies.ahead import work_ahead
from network_anomalies.contract import CONTRACT_VERSION, coerce_events, find_violations, to_text
from network_anomalies.errors import ContractError
from network_anomalies.parameters import GateParameters, digest_parameters
from network_anomalies.parts import describe_part, encode_part, find_duplicates, to_canonical_table
from network_anomalies.pipelines.ingestion.sources import Parts, SourceReport

logger = logging.getLogger(__name__)

Objects = dict[str, bytes]
Report = dict[str, Any]
FATES = ("not_a_flow", "unparsable", "early", "late", "rejected", "duplicates_dropped", "accepted")
NOTED = ("duplicates", "imputed")


def validate_events(
    event_parts: Parts,
    source_report: SourceReport,
    current_objects: pd.DataFrame,
    gate: GateParameters,
    source: str,
    logical_date: str,
    run_id: str,
) -> Iterator[tuple[Objects, Objects, Objects, Report]]:
    """Hold the parts to the contract, one at a time.

    Args:
        event_parts: names to functions that read a part's events.
        source_report: of the node that made the parts.
        current_objects: the objects of the current revision; a part whose rows they hold is not stored anew.
        gate: the gate's parameters.
        source: whose events.
        logical_date: the UTC day, YYYY-MM-DD.
        run_id: goes into the quarantine's rows.

    Yields:
        Quarantine objects, local copies and RAW objects, each a name to Parquet bytes, emptied when the next part is
        asked for; and the part's report.
    """
    provenance = {
        "contract_version": CONTRACT_VERSION,
        "source": source,
        "logical_date": logical_date,
        "params_sha256": _digest_choices(source_report, gate),
    }
    stored = current_objects.set_index("part")
    judge = partial(_validate_part, stored, gate, date.fromisoformat(logical_date), run_id, provenance)
    calls = [partial(judge, part, read) for part, read in enumerate(event_parts.values(), start=1)]
    for part in work_ahead(calls, ahead=2):
        yield part
        # Saved by now. Kedro's streams (itertools.tee) hold up to 57 yields, and would hold their bytes too.
        for saved in part[:3]:
            saved.clear()


def _validate_part(
    stored: pd.DataFrame,
    gate: GateParameters,
    day: date,
    run_id: str,
    provenance: dict[str, str],
    part: int,
    read_events: Callable[[], pd.DataFrame],
) -> tuple[Objects, Objects, Objects, Report]:
    accepted, rejects, counts = judge_events(read_events(), day, gate.drop_duplicates)
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
    return _encode_rejects(rejects, part, run_id, provenance), objects, objects, report


def judge_events(
    events: pd.DataFrame, logical_date: date, drop_duplicates: bool
) -> tuple[pa.Table, pd.DataFrame, dict[str, int]]:
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
    part_reports: list[Report], source_report: SourceReport, source: str, logical_date: str, run_id: str
) -> Report:
    """Add up what became of every line of the batch.

    Returns:
        ``counts`` by fate, rejections by rule, ``rejected_share`` of the day's flows, and the files that end mid-line.

    Raises:
        ContractError: the fates do not add up to the lines that came in.
    """
    files = source_report["files"]
    counts: Counter[str] = Counter()
    for part in (*(report["counts"] for report in part_reports), *files):
        counts.update({name: part[name] for name in (*FATES, *NOTED) if name in part})
    lines_in = sum(file["lines"] for file in files) if files else sum(part["counts"]["rows"] for part in part_reports)
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
        "logical_date": logical_date,
        "contract_version": CONTRACT_VERSION,
        "counts": {"lines_in": lines_in} | {name: counts[name] for name in (*FATES, *NOTED)},
        "rules": dict(rules.most_common()),
        "rejected_share": refused / judged if judged else 0.0,
        "truncated_files": [file["path"] for file in files if file["truncated"]],
    }


def preview_batch(part_reports: list[Report], quality_report: Report) -> None:
    """Log the batch's first events and the table of what became of its lines."""
    for report in part_reports[:1]:
        logger.info("First events of part 1:\n%s", report["head"].to_string(index=False))
    rows = {**quality_report["counts"], **{f"rule {rule}": count for rule, count in quality_report["rules"].items()}}
    logger.info("What became of the lines:\n%s", pd.Series(rows, dtype="int64").to_string())
    for path in quality_report["truncated_files"]:
        logger.warning("%s ends mid-line: its last line is left out and counted as unparsable", path)


def assemble_batch(
    part_reports: list[Report], quality_report: Report, source_report: SourceReport, gate: GateParameters
) -> Report:
    """Make what the registry commits: the ``batch``, its ``objects`` and its source ``files``.

    Raises:
        ContractError: no event is left, or more are rejected than ``max_rejected_share`` allows.
    """
    counts, name = quality_report["counts"], f"{quality_report['source']} on {quality_report['logical_date']}"
    objects = [report["object"] for report in part_reports if report["object"]]
    if quality_report["rejected_share"] > gate.max_rejected_share:
        raise ContractError(
            f"{quality_report['rejected_share']:.1%} of the flows of {name} break the contract "
            f"({_list_rules(quality_report)}), gate.max_rejected_share allows {gate.max_rejected_share:.1%}: "
            "see quarantined_events, mend the source or raise the share"
        )
    if not objects:
        raise ContractError(
            f"no events of {name} among {counts['lines_in']} lines ({counts['early']} early, {counts['late']} late): "
            "check logical_date and what the source delivers"
        )
    content = "\n".join(row["content_sha256"] for row in objects)
    batch = {
        **{key: quality_report[key] for key in ("run_id", "source", "contract_version")},
        "logical_date": date.fromisoformat(quality_report["logical_date"]),
        **counts,
        "parts": len(objects),
        "size_bytes": sum(row["size_bytes"] for row in objects),
        "content_sha256": hashlib.sha256(content.encode()).hexdigest(),
        "min_timestamp": min(row["min_timestamp"] for row in objects),
        "max_timestamp": max(row["max_timestamp"] for row in objects),
        "params_sha256": _digest_choices(source_report, gate),
    }
    return {"batch": batch, "objects": objects, "files": source_report["files"]}


def _digest_choices(source_report: SourceReport, gate: GateParameters) -> str:
    """Digest the parameters that decide a batch's content, and no others, so that equal content has equal bytes."""
    choices = {"drop_duplicates": gate.drop_duplicates, "source": source_report["parameters"]}
    return digest_parameters(choices)


def _prefer_stored(manifest: Report, stored: pd.DataFrame) -> Report:
    """Point to the current object if it holds the same rows, though another Parquet writer gave it other bytes."""
    part = manifest["part"]
    if part in stored.index and stored.at[part, "content_sha256"] == manifest["content_sha256"]:
        kept = {name: stored.at[part, name] for name in ("file_name", "object_sha256", "size_bytes")}
        return manifest | kept | {"size_bytes": int(kept["size_bytes"])}
    return manifest


def _encode_rejects(rejects: pd.DataFrame, part: int, run_id: str, provenance: dict[str, str]) -> Objects:
    """Encode rejects under a name that their content decides, so that a rerun finds them kept already."""
    if rejects.empty:
        return {}
    digest = hashlib.sha256(rejects.to_csv(index=False).encode()).hexdigest()
    table = pa.Table.from_pandas(rejects.assign(part=np.int32(part), run_id=run_id), preserve_index=False)
    return {f"quarantined_events_{part:04d}_{digest[:12]}": encode_part(table, provenance)}


def _list_rules(quality_report: Report) -> str:
    counts = {"unparsable": quality_report["counts"]["unparsable"], **quality_report["rules"]}
    return ", ".join(f"{rule} {count}" for rule, count in counts.items() if count)
