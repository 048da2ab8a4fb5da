"""Synthetic events a second on one core, truth included, beside plain numpy draws of six columns.

python benchmarks/generator.py [--events N] [--rounds R]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd
from project import read_generator

from network_anomalies.generator import draw_part, label_parts, plan_day
from network_anomalies.parameters import GeneratorParameters

DAY = date(2026, 11, 18)


def main() -> None:
    """Time both in turn and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    generator = read_generator(n_events=options.events)
    rounds = [
        (measure(lambda day=day: make_day(generator, day)), measure(lambda: draw_plainly(options.events)))
        for day in (DAY + timedelta(days=turn) for turn in range(options.rounds))
    ]
    own, plain = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"generator with truth  {options.events / own / 1e6:6.2f} M events/s")
    print(f"plain numpy draws     {options.events / plain / 1e6:6.2f} M events/s")
    print(f"time ratio            {statistics.median(ours / theirs for ours, theirs in rounds):6.2f}")


def make_day(generator: GeneratorParameters, day: date) -> None:
    """Draw every part and its truth, one at a time."""
    plan = plan_day(generator, day)
    for part in plan.parts:
        draw_part(plan, part)
    for parts in plan.runs:
        label_parts(plan, parts)


def draw_plainly(events: int) -> None:
    """Draw six independent columns, the cheapest way there is."""
    random = np.random.default_rng(7)
    hosts = pd.Index([f"10.0.{number >> 8}.{number & 255}" for number in range(4000)])
    for _ in range(events // 250_000):
        pd.DataFrame(
            {
                "timestamp": pd.to_datetime(np.sort(random.integers(0, 86_400_000_000, 250_000)), unit="us", utc=True),
                "src_ip": pd.Categorical.from_codes(random.integers(0, 4000, 250_000), hosts),
                "dst_ip": pd.Categorical.from_codes(random.integers(0, 4000, 250_000), hosts),
                "bytes": random.lognormal(6, 2, 250_000).astype(np.int64),
                "duration": random.exponential(2, 250_000),
                "protocol": pd.Categorical.from_codes(random.integers(0, 3, 250_000), ["ICMP", "TCP", "UDP"]),
            }
        )


def measure(work: Callable[[], None]) -> float:
    """Return the seconds of this process's own processor time."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
