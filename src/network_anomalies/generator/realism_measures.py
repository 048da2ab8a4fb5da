"""How real synthetic traffic looks: measured on events, beside what was published about real networks."""

import numpy as np
import pandas as pd

AGH = "AGH flow study 2015, arXiv 1809.03486"
LANL = "LANL Unified Host and Network Data Set, 2017"
UGR = "UGR'16, Computers & Security 73, 2018"
OWN = "requirement of this project, after LANL 2017 and UGR'16; not read off a publication"
LELAND = "Leland et al., IEEE/ACM ToN 2(1), 1994"
BUSIEST_SOURCES, BUSIEST_DESTINATIONS = 4, 5
LARGE_BYTES = 3_700_000  # what 4096 packets carry
ACTIVE_TIMEOUT = 300
NIGHT, DAYTIME, PEAK = [*range(5), 21, 22, 23], [*range(8, 18)], [9, 10, 14, 15]
HOURS = 24

# Name, lowest, highest, source.
TARGETS = (
    ("share of TCP", 0.55, 0.75, f"{AGH}; {LANL}; {UGR}"),
    ("share of UDP", 0.25, 0.43, f"{AGH}; {LANL}; {UGR}"),
    ("share of ICMP", 0.001, 0.03, f"{AGH}; {LANL}; {UGR}"),
    ("bytes, 25 % quantile", 80 / 1.5, 80 * 1.5, AGH),
    ("bytes, median", 196 / 1.5, 196 * 1.5, AGH),
    ("bytes, 75 % quantile", 1063 / 1.5, 1063 * 1.5, AGH),
    ("bytes, mean over median", 50, 2_000, AGH),
    ("flows over 3.7 MB", 0.001, 0.004, AGH),
    ("share of bytes in flows over 3.7 MB", 0.7, 0.95, AGH),
    ("tail index of flows over 3.7 MB", 0.5, 1.1, AGH),
    ("durations of exactly 0", 0.25, 0.45, OWN),
    ("duration, median, s", 0.01, 0.1, OWN),
    ("duration, 75 % quantile, s", 0.65, 2.6, OWN),
    ("durations over 300 s", 0.00001, 0.002, OWN),
    ("flows of the 4 busiest sources", 0.15, 0.26, OWN),
    ("flows to the 5 busiest destinations", 0.26, 0.42, OWN),
    ("one-off outside destinations", 0.1, 0.3, OWN),
    ("night over office hours", 0.1, 0.2, OWN),
    ("office hours of a weekend over a working day's", 0.2, 0.4, OWN),
    ("dispersion index at 1 s", 1.5, 50, LELAND),
    ("dispersion index at 10 s", 2, 200, LELAND),
    ("dispersion index at 60 s", 3, 500, LELAND),
    ("flows of pairs seen the day before", 0.6, 0.95, OWN),
)


def measure_realism(
    events: pd.DataFrame, day_before: pd.DataFrame, working_days: list[pd.Series], weekend: list[pd.Series]
) -> pd.DataFrame:
    """Return each target, what was measured, and whether it lies within.

    Args:
        events: a day's events with the contract's columns, 50,000 or more.
        day_before: those of the day before.
        working_days: the timestamps of some working days.
        weekend: the timestamps of as many Saturdays and Sundays.

    Returns:
        Frame: ``target``, ``low``, ``high``, ``measured``, ``within``, ``source``.
    """
    measured = {
        **_measure_protocols(events),
        **_measure_sizes(events["bytes"]),
        **_measure_durations(events["duration"]),
        **_measure_hosts(events, day_before),
        **_measure_times(working_days, weekend),
    }
    report = pd.DataFrame(TARGETS, columns=["target", "low", "high", "source"])
    report.insert(3, "measured", report["target"].map(measured))
    report.insert(4, "within", report["measured"].between(report["low"], report["high"]))
    return report


def find_dispersion(times: pd.Series, seconds: int) -> float:
    """Return the index of dispersion: variance over mean of the counts per window, within the hours, averaged."""
    window = _seconds_of_day(times) // seconds
    counts = np.bincount(window, minlength=HOURS * 3600 // seconds).reshape(HOURS, -1)
    busy = counts[counts.sum(axis=1) > 0]
    return float((busy.var(axis=1) / busy.mean(axis=1)).mean())


def _measure_protocols(events: pd.DataFrame) -> dict[str, float]:
    shares = events["protocol"].value_counts(normalize=True)
    return {f"share of {name}": float(shares[name]) for name in ("TCP", "UDP", "ICMP")}


def _measure_sizes(sizes: pd.Series) -> dict[str, float]:
    low, middle, high = sizes.quantile([0.25, 0.5, 0.75])
    large = sizes[sizes > LARGE_BYTES]
    return {
        "bytes, 25 % quantile": low,
        "bytes, median": middle,
        "bytes, 75 % quantile": high,
        "bytes, mean over median": sizes.mean() / middle,
        "flows over 3.7 MB": len(large) / len(sizes),
        "share of bytes in flows over 3.7 MB": large.sum() / sizes.sum(),
        # Hill's estimator: the inverse of the mean excess of the logarithms.
        "tail index of flows over 3.7 MB": 1 / np.log(large / LARGE_BYTES).mean(),
    }


def _measure_durations(seconds: pd.Series) -> dict[str, float]:
    return {
        "durations of exactly 0": (seconds == 0).mean(),
        "duration, median, s": seconds.median(),
        "duration, 75 % quantile, s": seconds.quantile(0.75),
        "durations over 300 s": (seconds > ACTIVE_TIMEOUT).mean(),
    }


def _measure_hosts(events: pd.DataFrame, day_before: pd.DataFrame) -> dict[str, float]:
    destinations = events["dst_ip"].astype("str").value_counts()
    outside = ~destinations.index.str.startswith("10.")
    pairs, known = (
        frame["src_ip"].astype("str") + " " + frame["dst_ip"].astype("str") for frame in (events, day_before)
    )
    return {
        "flows of the 4 busiest sources": events["src_ip"].value_counts(normalize=True).head(BUSIEST_SOURCES).sum(),
        "flows to the 5 busiest destinations": destinations.head(BUSIEST_DESTINATIONS).sum() / len(events),
        "one-off outside destinations": ((destinations == 1) & outside).mean(),
        "flows of pairs seen the day before": pairs.isin(known.unique()).mean(),
    }


def _measure_times(working_days: list[pd.Series], weekend: list[pd.Series]) -> dict[str, float]:
    hours, free = (np.sum([count_hours(times) for times in days], axis=0) for days in (working_days, weekend))
    night, free_night = hours[NIGHT].mean(), free[NIGHT].mean()
    return {
        "night over office hours": night / hours[PEAK].mean(),
        # A day has the number of events that was asked for, so a weekend is told by how far it rises over its night.
        "office hours of a weekend over a working day's": (free[DAYTIME].mean() / free_night - 1)
        / (hours[DAYTIME].mean() / night - 1),
        **{f"dispersion index at {seconds} s": find_dispersion(working_days[0], seconds) for seconds in (1, 10, 60)},
    }


def count_hours(times: pd.Series) -> np.ndarray:
    """Return the events of each UTC hour of a day, shape (24,)."""
    return np.bincount(_seconds_of_day(times) // 3600, minlength=HOURS)


def _seconds_of_day(times: pd.Series) -> np.ndarray:
    seconds: np.ndarray = ((times - times.iloc[0].normalize()) // pd.Timedelta(seconds=1)).to_numpy()
    return seconds
