"""A few lines of every format, and what holds for each of them."""

from collections.abc import Sequence

import pyarrow as pa
from hypothesis import strategies as st

from network_anomalies.formats import FORMATS, LogOptions, ParsedLines
from network_anomalies.formats.base import EVENT_COLUMNS, LogFormat
from network_anomalies.formats.mapping import ColumnMapping

MAPPING = ColumnMapping(
    {
        **{"timestamp": "when", "src_ip": "source", "dst_ip": "target", "duration": "took", "protocol": "ip proto"},
        **{"src_port": "sport", "dst_port": "dport", "packets": "pkts", "src_bytes": "out", "dst_bytes": "in"},
        "flow_id": "id",
    }
)
OPTIONS = LogOptions(mapping=MAPPING)
ZEEK_FIELDS = (
    *("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "duration"),
    *("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "tunnel_parents"),
)
NFDUMP_LONG = "ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt,in,tr"
LOGS: dict[str, tuple[bytes, ...]] = {
    "zeek": (
        b"#separator \\x09\n",
        b"#unset_field\t-\n",
        b"#path\tconn\n",
        b"#fields\t" + "\t".join(ZEEK_FIELDS).encode() + b"\n",
        b"1713484801.500001\tC1\t10.0.0.1\t5353\t2001:db8::1\t53\tudp\t0.25\t1\t60\t2\t40\t-\n",
        b"1713484802.0\tC2\t10.0.0.2\t3\t10.0.0.3\t0\ticmp\t-\t1\t28\t0\t-\t(empty)\n",
        b"#close\t2024-04-19-23-59-59\n",
    ),
    "zeek_json": (
        b'{"ts":1713484801.500001,"uid":"C1","id.orig_h":"10.0.0.1","id.orig_p":5353,"id.resp_h":"2001:db8::1",'
        b'"id.resp_p":53,"proto":"udp","duration":0.25,"conn_state":"SF","orig_pkts":1,"orig_ip_bytes":60,'
        b'"resp_pkts":2,"resp_ip_bytes":40,"more":{"deep":[1,{"a":null}]}}\n',
        b'{"ts":1713484802,"id_orig_h":"10.0.0.2","id_resp_h":"10.0.0.3","proto":"icmp","orig_bytes":28,"local":true}\n',
    ),
    "suricata_eve": (
        b'{"timestamp":"2024-04-19T00:10:00.000000+0000","event_type":"stats","stats":{"uptime":1}}\n',
        b'{"timestamp":"2024-04-19T00:10:00.000000+0000","flow_id":2245203502000000001,"event_type":"flow",'
        b'"src_ip":"10.0.0.1","src_port":5353,"dest_ip":"2001:db8::1","dest_port":53,"proto":"UDP",'
        b'"flow":{"pkts_toserver":1,"pkts_toclient":2,"bytes_toserver":60,"bytes_toclient":40,'
        b'"start":"2024-04-19T02:00:01.500001+0200","end":"2024-04-19T02:00:01.750001+0200","age":0}}\n',
        b'{"timestamp":"2024-04-19T00:10:00.000000+0000","flow_id":7,"event_type":"netflow","src_ip":"10.0.0.2",'
        b'"dest_ip":"10.0.0.3","proto":"ICMP","netflow":{"pkts":1,"bytes":28,'
        b'"start":"2024-04-19T00:00:02.000000+0000","end":"2024-04-19T00:00:02.000000+0000"}}\n',
    ),
    "argus": (
        b"StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,Label\n",
        b"2024/04/19 00:00:01.500001,0.250000,udp,10.0.0.1,5353,  <->,2001:db8::1,53,CON,0,0,3,100,60,\n",
        b"2024/04/19 00:00:02.000000,0.000000,icmp,10.0.0.2,0x0008,   ->,10.0.0.3,0x4b1f,ECO,0,,1,28,28,\n",
        b"2024/04/19 00:00:03.000000,0.000000,arp,10.0.0.2,,  who,10.0.0.4,,INT,,,1,60,60,\n",
        b"2024/04/19 00:00:04.000000,0.000000,llc,00:00:00:00:00:00,0,   ->,ff:ff:ff:ff:ff:ff,0,INT,,,1,60,60,\n",
    ),
    "nfdump": (
        NFDUMP_LONG.encode() + b"\n",
        b"2024-04-19 00:00:01.500,2024-04-19 00:00:01.750,0.250,10.0.0.1,2001:db8::1,5353,53,UDP,......,0,0,"
        b"1,60,2,40,0,x\n",
        b"2024-04-19 00:00:02,2024-04-19 00:00:02,0.000,10.0.0.2,10.0.0.3,0,8.0,ICMP,......,0,0,1,28,0,0,0,x\n",
        b"Summary\n",
        b"flows,bytes,packets,avg_bps,avg_pps,avg_bpp\n",
        b"2,128,4,1,1,1\n",
    ),
    "aws_vpc": (
        b"2 123456789010 eni-1 10.0.0.1 2001:db8::1 5353 53 17 3 100 1713484801 1713484802 ACCEPT OK\n",
        b"2 123456789010 eni-1 10.0.0.2 10.0.0.3 0 0 1 1 28 1713484802 1713484862 REJECT OK\n",
        b"2 123456789010 eni-1 - - - - - - - 1713484802 1713484862 - NODATA\n",
        b"2 123456789010 eni-1 - - - - - - - 1713484802 1713484862 - SKIPDATA\n",
    ),
    "csv": (
        b"id,when,source,sport,target,dport,ip proto,took,pkts,out,in,note\n",
        b'a,2024-04-19T02:00:01.500001+02:00,10.0.0.1,5353,2001:db8::1,53,17,0.25,3,60,40,"a ""word"", and more"\n',
        b"b,1713484802,10.0.0.2,,10.0.0.3,,icmp,,1,28,,\n",
    ),
}
FLOWS = {"zeek": 2, "zeek_json": 2, "suricata_eve": 2, "argus": 2, "nfdump": 2, "aws_vpc": 2, "csv": 2}
NAMES = sorted(LOGS)


def log_of(name: str) -> bytes:
    """Return the whole log."""
    return b"".join(LOGS[name])


def parse(name: str, *lines: bytes, options: LogOptions = OPTIONS, log: bytes | None = None) -> ParsedLines:
    """Parse lines with the header of ``log``, by default that of the format's own lines."""
    log_format: LogFormat = FORMATS[name]
    return log_format.parse_lines(b"".join(lines), log_format.read_header(log or log_of(name), options))


def tell(parsed: ParsedLines) -> tuple[int, int, int]:
    """Return how many lines are events, no flow, and unparsable."""
    return parsed.events.num_rows, parsed.not_a_flow.total(), parsed.unparsable.num_rows


def check_lines(parsed: ParsedLines, lines: Sequence[bytes]) -> None:
    """Check that every line is accounted for, that bad ones are quoted, and that columns are what was promised."""
    assert sum(tell(parsed)) == parsed.lines == len(lines)
    assert all(count > 0 for count in parsed.not_a_flow.values())
    numbers = parsed.unparsable["line"].to_pylist()
    assert numbers == sorted(set(numbers))
    for number, text in zip(numbers, parsed.unparsable["text"].to_pylist(), strict=True):
        assert text == lines[number - 1].removesuffix(b"\n").decode("utf-8", "backslashreplace")
    names = parsed.events.column_names
    assert names == [name for name in EVENT_COLUMNS if name in names]
    assert parsed.events["timestamp"].null_count == 0
    texts = {"src_ip", "dst_ip", "protocol", "flow_id"}
    for field in parsed.events.schema:
        wanted = pa.timestamp("us", "UTC") if field.name == "timestamp" else None
        assert field.type == (wanted or (pa.string() if field.name in texts else pa.float64()))


@st.composite
def mutated_logs(draw: st.DrawFn, name: str) -> list[bytes]:
    """Draw lines of a format, some of them damaged, and some random ones."""
    chosen = draw(st.lists(st.sampled_from(LOGS[name]), min_size=1, max_size=12))
    return [draw(_damage(line)) for line in chosen]


@st.composite
def _damage(draw: st.DrawFn, line: bytes) -> bytes:
    kind = draw(st.sampled_from(["none", "none", "replace", "cut", "double", "random"]))
    first, last = sorted(draw(st.tuples(st.integers(0, len(line) - 1), st.integers(0, len(line) - 1))))
    noise = draw(st.binary(max_size=6) | st.sampled_from([b"-", b"1e9", b'"', b"\t", b",", b"#", b"\r", b"{", b"}"]))
    body = {
        "none": line[:-1],
        "replace": line[:first] + noise + line[last:-1],
        "cut": line[:first] + line[last:-1],
        "double": line[:-1] + line[first:-1],
        "random": draw(st.binary(max_size=40)),
    }[kind]
    return body.replace(b"\n", b"") + b"\n"
