"""What the alerts of a day find and how many are false: on synthetic days, labelled sets and real logs.

    python benchmarks/alerts.py synthetic [--events N ...] [--seeds S] [--profile NAME ...] [--named]
    python benchmarks/alerts.py labelled [--data FOLDER] [--set NAME ...]
    python benchmarks/alerts.py logs FILE ...

``synthetic`` stages a day and its attacks for each seed, with the day before as the past and without a past: recall per
attack and false alerts a day; with ``--named``, by the named detectors alone, which takes a fifth of the time.
``labelled`` takes CSV files as ``benchmarks/detection.py`` does, day by day (the days
before are the past, the first day has none) and with a clean past (the first half of the benign rows): precision of
alerts, recall over incidents, alerts a day. ``logs`` prints the alerts of Zeek's conn.log files, one file a day, each
with the files before it as its past, and beside each alert the ports and connection states of its flows: a person
judges them.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
from alerting import DAY, find_named, judge_alerts, name_incidents, raise_alerts, split_days
from project import read_generator

from network_anomalies.generator import draw_part, find_keys, label_parts, plan_day
from network_anomalies.parameters import GeneratorParameters

DATA = Path(__file__).parents[2] / "shared/data/eval"
WORKDAY = date(2026, 11, 18)
PROFILES = ("campus", "enterprise", "provider")
PORT_COLUMNS = {"bytes_out": "src_bytes", "bytes_in": "dst_bytes"}
ZEEK = {
    "ts": "timestamp",
    "id.orig_h": "src_ip",
    "id.orig_p": "src_port",
    "id.resp_h": "dst_ip",
    "id.resp_p": "dst_port",
}
ZEEK |= {"proto": "protocol", "orig_ip_bytes": "src_bytes", "resp_ip_bytes": "dst_bytes", "conn_state": "state"}


def main() -> None:
    """Print the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    synthetic = commands.add_parser("synthetic")
    synthetic.add_argument("--events", type=int, nargs="*", default=[20_000, 60_000, 100_000])
    synthetic.add_argument("--seeds", type=int, default=20)
    synthetic.add_argument("--profile", nargs="*", default=PROFILES)
    synthetic.add_argument("--named", action="store_true")
    labelled = commands.add_parser("labelled")
    labelled.add_argument("--data", type=Path, default=DATA)
    labelled.add_argument("--set", nargs="*")
    labelled.add_argument("--list", action="store_true", help="print the alerts, too")
    logs = commands.add_parser("logs")
    logs.add_argument("files", type=Path, nargs="+")
    options = parser.parse_args()
    if options.command == "synthetic":
        measure_synthetic(options.events, options.seeds, options.profile, options.named)
    elif options.command == "labelled":
        measure_labelled(options.data, options.set, options.list)
    else:
        list_alerts(options.files)


def measure_synthetic(sizes: Sequence[int], seeds: int, profiles: Sequence[str], named: bool) -> None:
    """Print recall per attack and false alerts a day, by size of the day and by whether there is a past."""
    rows = []
    for size in sizes:
        for profile in profiles:
            generator = read_generator(n_events=size, part_events=size, profile=profile)
            for seed in range(seeds):
                rows += [
                    {"events": size, "profile": profile, **row}
                    for row in _judge_synthetic_days(generator.model_copy(update={"seed": seed}), named)
                ]
            print(f"{size} {profile}: done", file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    attacks = [name for name in table.columns if name not in ("events", "profile", "past", "false", "false kinds")]
    print(table.groupby(["past", "events"])[[*attacks, "false"]].mean().T.round(2).to_string(), "\n")
    print(table.groupby(["past", "profile"])[[*attacks, "false"]].mean().T.round(2).to_string(), "\n")
    print(table.groupby(["past", "events", "profile"])["false"].mean().unstack().round(2).to_string(), "\n")
    for past, kinds in table.groupby("past")["false kinds"]:
        print(past, dict(sum((Counter(each) for each in kinds), Counter())))


def _judge_synthetic_days(generator: GeneratorParameters, named: bool) -> list[dict[str, object]]:
    """Return what was found of each attack, with a past and without one (missing where it was not staged)."""
    plans = [plan_day(generator, WORKDAY - timedelta(days=shift)) for shift in (0, 1)]
    today, before = (draw_part(plan, 1) for plan in plans)
    truth = label_parts(plans[0], plans[0].parts)
    attacks = truth[truth["attack"]].drop_duplicates("event_key").set_index("event_key")["scenario"]
    incidents = pd.Series(find_keys(today), today.index).map(attacks).fillna("")
    allowed = {exception.entity for exception in generator.profiles[generator.profile].allowed}
    rows = []
    for words, past in (("day before", [before]), ("none", [])):
        alerts = find_named(today, past) if named else raise_alerts(today, past)
        alerts = alerts[~alerts["entity"].isin(allowed)]
        found = judge_alerts(alerts, today, incidents)
        names = set().union(*found)
        kinds = [kind for kind, hit in zip(alerts["kind"], found, strict=True) if not hit]
        recall = {name: float(name in names) for name in generator.attacks if name in set(attacks)}
        rows.append({"past": words, **recall, "false": len(kinds), "false kinds": kinds})
    return rows


def measure_labelled(folder: Path, names: Sequence[str] | None, listed: bool) -> None:
    """Print precision of alerts, recall over incidents and alerts a day, per set and both ways."""
    rows = []
    for name in names or sorted(path.stem for path in folder.glob("*.csv")):
        events = read_set(folder / f"{name}.csv")
        incidents = name_incidents(events)
        benign = events["label"] != "attack"
        past = benign & (benign.cumsum() <= benign.sum() // 2)
        rows.append({"set": name, "past": "clean", **_measure_days([events[past]], [events[~past]], incidents, listed)})
        rows.append({"set": name, "past": "days before", **_measure_days([], split_days(events), incidents, listed)})
    table = pd.DataFrame(rows).set_index(["set", "past"]).unstack()
    print(table.swaplevel(axis=1).sort_index(axis=1, level=0, sort_remaining=False).round(2).to_string(), "\n")
    totals = pd.DataFrame(rows).groupby("past")[["days", "alerts", "true", "incidents", "found"]].sum()
    totals = totals.assign(
        precision=totals["true"] / totals["alerts"],
        recall=totals["found"] / totals["incidents"],
        false_a_day=(totals["alerts"] - totals["true"]) / totals["days"],
    )
    print(totals.round(3).to_string())


def _measure_days(
    past: list[pd.DataFrame], days: list[pd.DataFrame], incidents: pd.Series, listed: bool
) -> dict[str, float]:
    """Return days, alerts, true ones, incidents, and those found; every judged day becomes part of the past."""
    alerts = true = 0
    found: set[str] = set()
    past = list(past)
    for day in days:
        raised = raise_alerts(day, past[-14:])
        hits = judge_alerts(raised, day, incidents.loc[day.index])
        alerts, true = alerts + len(raised), true + sum(map(bool, hits))
        found = found.union(*hits)
        past.append(day)
        if listed:
            for alert, hit in zip(raised.itertuples(), hits, strict=True):
                print(f"  {'TRUE ' if hit else 'false'} {alert.score:3.0f} {alert.kind}: {alert.sentence}")
    span = sum(max((day["timestamp"].max() - day["timestamp"].min()) / DAY, 1.0) for day in days)
    known = set().union(*(set(incidents.loc[day.index]) for day in days)) - {""}
    return {"days": span, "alerts": alerts, "true": true, "incidents": len(known), "found": len(found)}


def read_set(path: Path) -> pd.DataFrame:
    """Return a labelled set in order of time, its directional bytes named as in the contract."""
    events = pd.read_csv(path).sort_values("timestamp", kind="stable", ignore_index=True)
    return events.rename(columns=PORT_COLUMNS)


def list_alerts(files: Sequence[Path]) -> None:
    """Print the alerts of each day, with the ports and states of their flows."""
    past: list[pd.DataFrame] = []
    for path in files:
        day = read_zeek(path)
        alerts = raise_alerts(day, past)
        print(f"{path.name}: {len(day)} flows, {len(alerts)} alerts")
        for alert in alerts.itertuples():
            flows = day[(day["src_ip"] == alert.entity) | (day["dst_ip"] == alert.entity)]
            flows = flows[flows["timestamp"].between(alert.first_seen.timestamp() - 1, alert.last_seen.timestamp() + 1)]
            if alert.peer:
                flows = flows[(flows["src_ip"] == alert.peer) | (flows["dst_ip"] == alert.peer)]
            ports, states = (flows[name].value_counts().head(5).to_dict() for name in ("dst_port", "state"))
            print(f"  {alert.score:3.0f} {alert.kind}: {alert.sentence}\n      ports {ports} states {states}")
        past.append(day)


def read_zeek(path: Path) -> pd.DataFrame:
    """Return the flows of a Zeek conn.log in TSV, with ``state``; missing bytes and durations are missing."""
    with path.open() as lines:
        header = next(line for line in lines if line.startswith("#fields"))
    names = header.rstrip("\n").split("\t")[1:]
    raw = pd.read_csv(path, sep="\t", comment="#", names=names, na_values="-", usecols=[*ZEEK, "duration"])
    flows = raw.rename(columns=ZEEK).sort_values("timestamp", ignore_index=True)
    return flows.assign(bytes=flows["src_bytes"].fillna(0) + flows["dst_bytes"].fillna(0))


if __name__ == "__main__":
    main()
