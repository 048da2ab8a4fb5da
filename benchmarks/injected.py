"""Attacks that are put into real traffic without known attacks: average precision of the scores of their flows.

    python benchmarks/injected.py [--data FOLDER]

FOLDER is that of labelled sets, as in ``benchmarks/detection.py``. Each attack is put into the second half of each
background and is scored twice: with that half as a batch, and beside the first half as the past. Where the background
has ports and directions, so has the attack.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from labelled import DATA, judge, read, score_ours

BACKGROUNDS = ("clean-ctusme-ubuntu0225", "acm-numinon-late5", "ctusme11-mix", "feel012-d5", "cic17-b")


@dataclass(frozen=True)
class Place:
    """Where an attack takes place.

    Attributes:
        random: what draws it.
        start: seconds since 1970 of the first hour of the attack.
        end: of the last flow of the background.
        clients: the busiest sources, at most five, the victim first.
        hosts: addresses of the victim's network, used or not.
        known: a destination outside that the victim talks to.
        server: the destination with the most sources.
    """

    random: np.random.Generator
    start: float
    end: float
    clients: list[str]
    hosts: list[str]
    known: str
    server: str


def main() -> None:
    """Print average precision per attack, both ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    backgrounds = {name: take_benign(*read(options.data / f"{name}.csv")) for name in BACKGROUNDS}
    rows = {
        (attack, background): measure(make, *halves)
        for attack, make in ATTACKS.items()
        for background, halves in backgrounds.items()
    }
    table = pd.DataFrame(rows, index=["batch", "past"]).T
    print(table.unstack().round(2).to_string(), "\n")
    means = table.groupby(level=0).mean().reindex(list(ATTACKS))
    means.loc["mean"] = means.mean()
    print(means.round(2).to_string())


def take_benign(events: pd.DataFrame, attack: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both halves of what is no attack."""
    benign = events[~attack].reset_index(drop=True)
    return benign.iloc[: len(benign) // 2], benign.iloc[len(benign) // 2 :]


def measure(make: Callable[[Place], pd.DataFrame], past: pd.DataFrame, day: pd.DataFrame) -> tuple[float, float]:
    """Return the average precision of an attack as a batch and beside the past."""
    flows = make(choose_place(day)).reindex(columns=day.columns)
    events = pd.concat([day, flows], ignore_index=True)
    order = np.argsort(events["timestamp"].to_numpy(), kind="stable")
    truth = (np.arange(len(events)) >= len(day))[order]
    mixed = events.iloc[order].reset_index(drop=True)
    return judge(truth, score_ours(mixed, None))[0], judge(truth, score_ours(mixed, past))[0]


def choose_place(day: pd.DataFrame) -> Place:
    """Return the hosts and the time of an attack on a background."""
    sources = day["src_ip"].value_counts()
    clients = [host for host in sources.index if _is_ipv4(host)][:5]
    own = day.loc[day["src_ip"] == clients[0], "dst_ip"].value_counts()
    network = clients[0].rsplit(".", 1)[0]
    outside = [host for host in own.index if not host.startswith(network) and _is_ipv4(host)]
    first, last = day["timestamp"].min(), day["timestamp"].max()
    return Place(
        random=np.random.default_rng(0),
        start=first + 0.3 * (last - first),
        end=last,
        clients=clients,
        hosts=[f"{network}.{number}" for number in range(1, 255)],
        known=outside[0] if outside else own.index[0],
        server=day.groupby("dst_ip")["src_ip"].nunique().idxmax(),
    )


def _is_ipv4(host: str) -> bool:
    return "." in host and host != "0.0.0.0"


def make_flows(
    times: np.ndarray,
    ends: tuple[str | list[str], str | list[str]],
    sides: tuple[np.ndarray | float, np.ndarray | float],
    duration: np.ndarray | float,
    port: int | np.ndarray,
    protocol: str = "tcp",
) -> pd.DataFrame:
    """Return flows from their times, source and destination, bytes from and to the source, seconds and port."""
    up, down = (np.round(np.broadcast_to(side, len(times))) for side in sides)
    return pd.DataFrame(
        {
            "timestamp": np.asarray(times, dtype="float64"),
            "src_ip": ends[0],
            "dst_ip": ends[1],
            "bytes": up + down,
            "duration": duration,
            "protocol": protocol,
            "src_port": 40_000 + np.arange(len(times)) % 20_000,
            "dst_port": port,
            "packets": 1 + np.round((up + down) / 800),
            "src_bytes": up,
            "dst_bytes": down,
        }
    )


def guess_from_outside(place: Place) -> pd.DataFrame:
    """Return 300 logins of a stranger over half an hour."""
    return _guess(place, "198.51.100.23", place.clients[0])


def guess_from_inside(place: Place) -> pd.DataFrame:
    """Return 300 logins of a client at a server."""
    return _guess(place, place.clients[0], place.server)


def _guess(place: Place, source: str, target: str) -> pd.DataFrame:
    times = place.start + np.sort(place.random.uniform(0, 1_800, 300))
    up, down = place.random.normal(1_400, 80, 300), place.random.normal(1_900, 90, 300)
    return make_flows(times, (source, target), (up, down), place.random.uniform(1, 3, 300), 22)


def flood(place: Place) -> pd.DataFrame:
    """Return 5,000 empty flows of 200 strangers at a server within ten minutes."""
    sources = [f"203.0.113.{1 + number % 200}" for number in range(5_000)]
    times = place.start + np.sort(place.random.uniform(0, 600, 5_000))
    return make_flows(times, (sources, place.server), (60, 0), 0.0, 80)


def scan_from_outside(place: Place) -> pd.DataFrame:
    """Return probes of 30 strangers, ten hosts each, over two hours."""
    sources = [f"192.0.2.{1 + number // 10}" for number in range(300)]
    times = place.start + np.sort(place.random.uniform(0, 7_200, 300))
    return make_flows(times, (sources, list(place.random.choice(place.hosts, 300))), (44, 0), 0.0, 23)


def burst(place: Place) -> pd.DataFrame:
    """Return 60 calls to a new server within five minutes."""
    times = place.start + np.sort(place.random.uniform(0, 300, 60))
    sides = place.random.lognormal(6, 0.5, 60), place.random.lognormal(7, 0.8, 60)
    return make_flows(times, (place.clients[0], "198.51.100.77"), sides, place.random.lognormal(0, 1, 60), 8_443)


def scan_fast(place: Place) -> pd.DataFrame:
    """Return probes of 250 hosts within two minutes."""
    times = place.start + np.sort(place.random.uniform(0, 120, 250))
    return make_flows(times, (place.clients[0], place.hosts[:250]), (44, 0), 0.0, 445)


def scan_slowly(place: Place) -> pd.DataFrame:
    """Return probes of 60 hosts over half of the time that is left."""
    times = np.linspace(place.start, (place.start + place.end) / 2, 60)
    return make_flows(times, (place.clients[0], place.hosts[100:160]), (44, 0), 0.0, 3_389)


def scan_ports(place: Place) -> pd.DataFrame:
    """Return probes of 300 ports of a host within five minutes."""
    times = place.start + np.sort(place.random.uniform(0, 300, 300))
    return make_flows(times, (place.clients[0], place.hosts[40]), (44, 40), 0.0, np.arange(1, 301))


def leak_to_a_stranger(place: Place) -> pd.DataFrame:
    """Return 600 MB in five flows to a new server."""
    times = place.start + np.arange(5) * 120.0
    return make_flows(times, (place.clients[0], "198.51.100.99"), (1.2e8, 2e6), 110.0, 443)


def leak_to_a_known_one(place: Place) -> pd.DataFrame:
    """Return 400 MB in 60 flows over five hours, or the time that is left, to a known server."""
    times = np.linspace(place.start, min(place.start + 18_000, place.end), 60)
    up = place.random.normal(6.5e6, 4e5, 60)
    return make_flows(times, (place.clients[0], place.known), (up, 2e5), place.random.uniform(10, 20, 60), 443)


def tunnel(place: Place) -> pd.DataFrame:
    """Return 1,500 questions to a resolver that others do not use, within an hour."""
    times = place.start + np.sort(place.random.uniform(0, 3_600, 1_500))
    sides = place.random.normal(230, 15, 1_500), place.random.normal(280, 30, 1_500)
    seconds = place.random.uniform(0.02, 0.1, 1_500)
    return make_flows(times, (place.clients[0], "198.51.100.53"), sides, seconds, 53, "udp")


def beacon(place: Place) -> pd.DataFrame:
    """Return a call every five minutes, give or take a fifth, to a new server."""
    times = np.arange(place.start, place.end, 300.0)
    times = times + place.random.uniform(-60, 60, len(times))
    sides = place.random.normal(700, 20, len(times)), place.random.normal(900, 20, len(times))
    return make_flows(times, (place.clients[0], "198.51.100.111"), sides, 0.4, 443)


def spam(place: Place) -> pd.DataFrame:
    """Return 400 mails to as many servers over two hours."""
    targets = [f"198.18.{number // 200}.{1 + number % 200}" for number in range(400)]
    times = place.start + np.sort(place.random.uniform(0, 7_200, 400))
    sides = place.random.lognormal(8.3, 0.3, 400), place.random.normal(800, 60, 400)
    return make_flows(times, (place.clients[0], targets), sides, place.random.lognormal(0.5, 0.5, 400), 25)


def move_laterally(place: Place) -> pd.DataFrame:
    """Return sessions with 12 hosts of the network over three hours, or the time that is left."""
    times = np.sort(place.random.uniform(place.start, min(place.start + 10_800, place.end), 36))
    targets = [place.hosts[60 + number % 12] for number in range(36)]
    sides = place.random.lognormal(8.5, 0.8, 36), place.random.lognormal(8.8, 0.8, 36)
    return make_flows(times, (place.clients[0], targets), sides, place.random.lognormal(2, 1, 36), 445)


ATTACKS = {
    "password guessing from outside": guess_from_outside,
    "password guessing from inside": guess_from_inside,
    "flood": flood,
    "scanners from outside": scan_from_outside,
    "burst of calls": burst,
    "fast scan": scan_fast,
    "slow scan": scan_slowly,
    "scan of ports": scan_ports,
    "leak to a new one": leak_to_a_stranger,
    "leak to a known one": leak_to_a_known_one,
    "DNS tunnel": tunnel,
    "beacon": beacon,
    "spam": spam,
    "lateral movement": move_laterally,
}

if __name__ == "__main__":
    main()
