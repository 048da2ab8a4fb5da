"""Slow attacks on ten synthetic days with a rolling past: what each day's alerts find, while the attack goes on.

    python benchmarks/alerts_over_days.py [--events N] [--seeds S] [--days D] [--first DAY] [--window DAYS]

The generator draws other attackers each day, so that the attacks here are added to days without attacks: a drip of some
megabytes a day to a new place, a drip to a known one, a beacon of four calls a day, one of a call every ten minutes, a
host that opens sessions to two new peers a day, and a scan of 40 hosts a day. Each begins on day FIRST and goes on to
the last day. Every day is judged beside the WINDOW days before it, attacks included. The table says how many of the
seeds have an alert about the attacker, by day; ``false`` is the mean number of alerts about anybody else.
"""

import argparse
from datetime import date, timedelta

import numpy as np
import pandas as pd
from project import read_generator

from network_anomalies.detection import History, detect, merge_histories, remember, summarise
from network_anomalies.generator import draw_part, plan_day

MONDAY = date(2026, 11, 16)
HOUR = 3_600.0
ATTACKS = ("drip to a new one", "drip to a known one", "slow beacon", "beacon", "lateral movement", "scan")


def main() -> None:
    """Print the share of the seeds whose attacker is named, by day and attack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--first", type=int, default=2)
    parser.add_argument("--window", type=int, default=14)
    options = parser.parse_args()
    days = (options.days, options.first, options.window)
    rows = [row for seed in range(options.seeds) for row in judge_days(seed, options.events, *days)]
    print(pd.DataFrame(rows).groupby("day").mean().T.round(2).to_string())


def judge_days(seed: int, n_events: int, days: int, first: int, window: int) -> list[dict[str, float]]:
    """Return for each day from the second on which attackers have an alert, and how many alerts name nobody of them."""
    generator = read_generator(n_events=n_events, part_events=n_events, seed=seed)
    generator = generator.model_copy(update={"attacks": {}})
    allowed = {exception.entity for exception in generator.profiles[generator.profile].allowed}
    random = np.random.default_rng(seed)
    past: list[History] = []
    rows = []
    attackers: dict[str, str] = {}
    for number in range(days):
        plan = plan_day(generator, MONDAY + timedelta(days=number))
        events = draw_part(plan, 1).astype({"src_ip": "str", "dst_ip": "str", "protocol": "str"})
        if number + 1 >= first:
            there = set(events.loc[~events["dst_ip"].str.startswith("10."), "src_ip"])
            clients = [host for host in plan.population.addresses[: plan.population.clients] if host in there]
            if not attackers:
                attackers = dict(zip(ATTACKS, random.choice(clients[40:200], len(ATTACKS), replace=False), strict=True))
                known = find_known(events, attackers["drip to a known one"])
            attacks = make_attacks(attackers, known, clients, number, pd.Timestamp(plan.midnight, tz="UTC"), random)
            events = pd.concat([events, *attacks], ignore_index=True)
        summary = summarise(events)
        if past:
            found = detect(summary, merge_histories(past[-window:]))
            found = found[~found["entity"].isin(allowed)]
            named = {name: float(host in set(found["entity"])) for name, host in attackers.items()}
            others = float((~found["entity"].isin(attackers.values())).sum())
            rows.append({"day": number + 1, **named, "false": others})
        past.append(remember(summary))
    return rows


def find_known(events: pd.DataFrame, host: str) -> str:
    """Return the outside host that a client talks to most."""
    peers = events.loc[(events["src_ip"] == host) & ~events["dst_ip"].str.startswith("10."), "dst_ip"]
    return str(peers.mode()[0])


def make_attacks(
    attackers: dict[str, str],
    known: str,
    clients: list[str],
    number: int,
    midnight: pd.Timestamp,
    random: np.random.Generator,
) -> list[pd.DataFrame]:
    """Return a day's flows of each attack."""
    office = 8 * HOUR + np.sort(random.uniform(0, 9 * HOUR, 24))
    slow = 6 * HOUR * np.arange(4) + random.uniform(0, HOUR, 4)
    even = 600 * (np.arange(140) + random.uniform(-0.1, 0.1, 140)) + 120
    peers = random.choice(clients[200:], 2, replace=False)
    targets = [f"10.199.0.{host}" for host in random.choice(255, 40, replace=False)]
    columns = [
        ("drip to a new one", office, "91.92.109.5", 15e6 / 24 * random.uniform(0.5, 1.5, 24), 2.0),
        ("drip to a known one", office, known, 15e6 / 24 * random.uniform(0.5, 1.5, 24), 2.0),
        ("slow beacon", slow, "45.33.21.9", random.uniform(600, 700, 4), 0.3),
        ("beacon", even, "185.220.101.7", random.uniform(600, 700, 140), 0.3),
        ("lateral movement", office[[5, 15]], peers, random.uniform(4_000, 20_000, 2), 5.0),
        ("scan", office[3] + np.arange(40) * 5.0, targets, 44, 0.0),
    ]
    return [
        pd.DataFrame(
            {
                "timestamp": midnight + pd.to_timedelta(times, unit="s").as_unit("us"),
                "src_ip": attackers[name],
                "dst_ip": destination,
                "bytes": np.round(size),
                "duration": seconds,
                "protocol": "TCP",
            }
        )
        for name, times, destination, size, seconds in columns
    ]


if __name__ == "__main__":
    main()
