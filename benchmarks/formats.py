"""How long the parsers of flow logs take beside the plain readers of the same columns, as ratios within one run.

    python benchmarks/formats.py [--flows N] [--rounds N] [--block-bytes N]

Generated flows are written as a Zeek log and as JSON lines, in a temporary folder. Our side reads the file from its
start as ingestion does: sha256, blocks, events of all columns with their types, bad lines told apart. The other side
is `pandas.read_csv(engine="c")` for the Zeek log and pyarrow's JSON reader for JSON lines, each of the columns that
our side uses and no others. Both use one thread; the seconds are those of the processor. Readers run in turn, A B A B,
so that a busy machine slows both; each round prints its ratio, the last line their median. Variants of the Zeek log
show what a bad line costs: one in a hundred, one in ten, and the same log packed with gzip.
"""

import argparse
import gzip
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import json as arrow_json

from network_anomalies.formats import FORMATS, LogOptions
from network_anomalies.formats.blocks import parse_log
from network_anomalies.formats.stored import open_log

FIELDS = (
    *("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "duration", "orig_bytes"),
    *("resp_bytes", "conn_state", "local_orig", "local_resp", "missed_bytes", "history", "orig_pkts", "orig_ip_bytes"),
    *("resp_pkts", "resp_ip_bytes", "tunnel_parents"),
)
READ = (
    *("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "duration"),
    *("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes"),
)
TEXTS = ("uid", "id.orig_h", "id.resp_h", "proto")
UNSET = 0.2
"""The share of flows without a duration."""
CLIENTS, SERVERS = 2_000, 50_000
"""How many addresses there are on each side: a network of that size has about a million flows a day."""
Reader = Callable[[Path], int]


def main() -> None:
    """Print a table of seconds and ratios for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--block-bytes", type=int, default=4_194_304)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    ours = partial(read_ours, options.block_bytes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs = write_logs(folder, draw_flows(options.flows))
        print(f"{options.flows:,} flows, blocks of {options.block_bytes:,} bytes")
        compare("Zeek log / pandas.read_csv", logs["zeek"], partial(ours, "zeek"), read_pandas, options.rounds)
        compare(
            "JSON lines / pyarrow's JSON reader", logs["json"], partial(ours, "zeek_json"), read_arrow, options.rounds
        )
        for variant in ("one bad line in 100", "one bad line in 10", "gzip"):
            reader = partial(time_other, logs[variant], partial(ours, "zeek"))
            compare(
                f"Zeek log, {variant} / whole and plain", logs["zeek"], reader, partial(ours, "zeek"), options.rounds
            )


def compare(title: str, path: Path, reader: Reader, other: Reader, rounds: int) -> None:
    """Time two readers in turn and print the ratio of each round, and the median."""
    ratios = []
    for _ in range(rounds):
        first, second = (measure(function, path) for function in (reader, other))
        ratios.append(first / second)
    rounds_text = " ".join(f"{ratio:.2f}" for ratio in ratios)
    print(
        f"{title}: {statistics.median(ratios):.2f} ({rounds_text}; last {first:.2f} s and {second:.2f} s)", flush=True
    )


def measure(reader: Reader, path: Path) -> float:
    """Return the seconds of the processor that a reader takes."""
    start = time.process_time()
    reader(path)
    return time.process_time() - start


def time_other(path: Path, reader: Reader, _: Path) -> int:
    """Read another file than the one that both sides are given."""
    return reader(path)


def read_ours(block_bytes: int, name: str, path: Path) -> int:
    """Read a log as ingestion does; return its flows."""
    with open_log(partial(path.open, "rb")) as stream:
        return sum(part.events.num_rows for part in parse_log(stream, FORMATS[name], LogOptions(), block_bytes))


def read_pandas(path: Path) -> int:
    """Read the columns by pandas; return the rows."""
    return len(
        pd.read_csv(path, engine="c", sep="\t", skiprows=3, names=FIELDS, usecols=READ, na_values="-", comment=None)
    )


def read_arrow(path: Path) -> int:
    """Read the columns by pyarrow; return the rows."""
    schema = pa.schema([(name, pa.string() if name in TEXTS else pa.float64()) for name in READ])
    rows: int = arrow_json.read_json(
        path,
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=4_194_304),
        parse_options=arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    ).num_rows
    return rows


def draw_flows(count: int) -> pd.DataFrame:
    """Return flows of a day as text, in the columns of a conn.log."""
    draw = np.random.default_rng(1)

    def draw_addresses(first: int, hosts: int) -> pd.Series:
        parts = draw.integers(1, 255, (hosts, 3)).astype("str")
        known = pd.Series(parts[:, 0]).radd(f"{first}.") + "." + parts[:, 1] + "." + parts[:, 2]
        busy_first = (hosts * draw.random(count) ** 3).astype("int64")
        return known.take(busy_first).reset_index(drop=True)

    seconds = 1713484800 + np.sort(draw.integers(0, 86_400 * 10**6, count)) / 1e6
    sizes = {name: draw.integers(0, 50_000, count) for name in ("orig_bytes", "resp_bytes")}
    columns = {
        "ts": np.char.mod("%.6f", seconds),
        "uid": np.char.mod("C%017x", draw.integers(0, 2**62, count)),
        "id.orig_h": draw_addresses(10, CLIENTS),
        "id.orig_p": draw.integers(1024, 65_536, count),
        "id.resp_h": draw_addresses(93, SERVERS),
        "id.resp_p": draw.choice([22, 53, 80, 443, 8080], count),
        "proto": draw.choice(["tcp", "udp", "icmp"], count, p=[0.7, 0.28, 0.02]),
        "service": draw.choice(["-", "dns", "ssl"], count),
        "duration": np.where(draw.random(count) < UNSET, "-", np.char.mod("%.6f", draw.exponential(1, count))),
        **sizes,
        **dict.fromkeys(("conn_state", "local_orig", "local_resp", "missed_bytes", "history"), "-"),
        "orig_pkts": draw.integers(1, 50, count),
        "orig_ip_bytes": sizes["orig_bytes"] + 300,
        "resp_pkts": draw.integers(1, 50, count),
        "resp_ip_bytes": sizes["resp_bytes"] + 400,
        "tunnel_parents": "-",
    }
    return pd.DataFrame(columns)[list(FIELDS)].astype("str")


def write_logs(folder: Path, flows: pd.DataFrame) -> dict[str, Path]:
    """Write the flows as logs; return their paths."""
    paths = {
        name: folder / f"{name}.log" for name in ("zeek", "json", "one bad line in 100", "one bad line in 10", "gzip")
    }
    header = "#unset_field\t-\n#path\tconn\n#fields\t" + "\t".join(FIELDS) + "\n"
    rows = flows.to_csv(sep="\t", header=False, index=False)
    paths["zeek"].write_text(header + rows)
    for often in (100, 10):
        damaged = rows.splitlines()
        damaged[::often] = [line.partition("\t")[2] for line in damaged[::often]]
        paths[f"one bad line in {often}"].write_text(header + "\n".join(damaged) + "\n")
    paths["gzip"].write_bytes(gzip.compress(paths["zeek"].read_bytes(), 6))
    numbers = [name for name in (*READ, "orig_bytes", "resp_bytes") if name not in TEXTS]
    typed = flows.assign(**{name: flows[name].replace("-", "nan").astype("float64") for name in numbers})
    typed.to_json(paths["json"], orient="records", lines=True, double_precision=6)
    return paths


if __name__ == "__main__":
    main()
