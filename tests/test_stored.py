"""Logs as they are stored: compressed or not, whole or cut off, with lines of any length, and in little memory."""

import gzip
import hashlib
import io
import subprocess
import sys
from functools import partial

import pyarrow as pa
import pytest
from flow_logs import LOGS, log_of
from hypothesis import example, given
from hypothesis import strategies as st

from network_anomalies.errors import ContractError
from network_anomalies.formats import FORMATS, LogOptions
from network_anomalies.formats.blocks import LINE_BYTES, TOO_LONG, iterate_blocks, parse_log
from network_anomalies.formats.parsed import merge_parsed
from network_anomalies.formats.stored import StoredFacts, open_log, read_beginning

LOG = log_of("zeek")
LINES = LOGS["zeek"]


def compress_zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, "zstd", asbytes=True)
    return packed


MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x04\x22\x4d\x18")
"""How files begin that are packed, in a way that is read or not."""
PACK = {"plain": bytes, "gzip": gzip.compress, "zstd": compress_zstd}


def read(data: bytes, size: int = 100) -> tuple[bytes, dict, bool]:
    with open_log(partial(io.BytesIO, data)) as stream:
        text = b"".join(iter(partial(stream.read, size), b""))
    return text, stream.stored.facts, stream.truncated


def parse(data: bytes, block_bytes: int = 2**20):
    with open_log(partial(io.BytesIO, data)) as stream:
        return merge_parsed(list(parse_log(stream, FORMATS["zeek"], LogOptions(), block_bytes)))


@pytest.mark.parametrize("pack", PACK)
@given(text=st.binary(max_size=500), size=st.integers(1, 600))
@example(text=b"", size=1)
@example(text=b"\n" * 200_000, size=70_000)
def test_a_log_is_given_as_it_was_before_it_was_packed(pack, text, size):
    data = PACK[pack](text)
    if pack == "plain" and data.startswith(MAGIC):
        return
    facts = StoredFacts(len(data), hashlib.sha256(data).hexdigest())
    assert read(data, size) == (text, facts, False)
    assert read_beginning(partial(io.BytesIO, data), size) == text[:size]


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_nothing_is_printed_on_the_way(pack, capfd):
    assert read(PACK[pack](LOG))[0] == LOG
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
@given(texts=st.lists(st.binary(max_size=100), min_size=1, max_size=5))
def test_several_members_or_frames_are_one_log(pack, texts):
    data = b"".join(map(PACK[pack], texts))
    assert read(data)[::2] == (b"".join(texts), False)


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_what_was_packed_before_the_cut_is_read(pack):
    text = b"".join(b"%d is a line of the log, number %d\n" % (number**3, number) for number in range(40_000))
    data = PACK[pack](text)
    sizes = []
    for end in range(len(data) // 4, len(data) - 1, len(data) // 5):
        given_, facts, truncated = read(data[:end], 50_000)
        assert truncated
        assert text.startswith(given_)
        assert facts == StoredFacts(end, hashlib.sha256(data[:end]).hexdigest())
        assert given_ == read(data[:end], 777)[0]
        sizes.append(len(given_))
    assert sizes == sorted(set(sizes))
    assert sizes[-1] > len(text) // 2


def test_nothing_of_half_a_gzip_file_is_lost():
    text = b"".join(b"%d\n" % (number**3) for number in range(30_000))
    data = gzip.compress(text)[: len(text) // 8]
    expected = b""
    file = gzip.GzipFile(fileobj=io.BytesIO(data))
    with pytest.raises(EOFError):
        while True:
            expected += file.read1(1)
    assert read(data)[0] == expected


def test_the_whole_lines_of_half_a_gzip_file_count():
    log = LOG + LINES[4] * 3000
    data = gzip.compress(log)
    parsed = parse(data[: len(data) - 40])
    assert 0 < parsed.events.num_rows < 3002
    text = read(data[: len(data) - 40])[0]
    assert parsed.lines == text.count(b"\n") + (not text.endswith(b"\n"))
    assert parsed.unparsable["reason"].to_pylist() in ([], ["the file ends in the middle of it"])


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_a_packed_file_cut_off_at_its_start_is_refused(pack):
    with pytest.raises(ContractError, match=f"^a {pack} file that is cut off at its start"):
        parse(PACK[pack](LOG)[:12])


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
@pytest.mark.parametrize("tail", [b"garbage that follows", b"\0" * 512])
def test_a_damaged_file_is_refused(pack, tail):
    with pytest.raises(ContractError, match=f"^a damaged {pack} file"):
        parse(PACK[pack](LOG) + tail)
    if pack == "gzip":
        data = bytearray(gzip.compress(LOG))
        data[-8] ^= 1  # its checksum
        with pytest.raises(ContractError, match=r"^a damaged gzip file"):
            parse(bytes(data))


@pytest.mark.parametrize("pack", PACK)
def test_an_empty_log_is_refused_however_it_is_packed(pack):
    with pytest.raises(ContractError, match=r"^empty"):
        parse(PACK[pack](b""))


@pytest.mark.parametrize(
    ("magic", "name"),
    [(b"BZh91AY", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"PK\x03\x04", "zip"), (b"\x04\x22\x4d\x18", "lz4")],
)
def test_a_file_packed_in_another_way_is_named(magic, name):
    with pytest.raises(ContractError, match=rf"^a {name} file: gzip and zstd are read"):
        parse(magic + b"and the rest")


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_a_store_that_fails_is_not_taken_for_a_damaged_file(pack):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 100:
                raise ConnectionResetError("the store went away")
            return super().read(min(size, 60))

    with pytest.raises(ConnectionResetError), open_log(partial(Failing, PACK[pack](bytes(range(256)) * 9))) as stream:
        while stream.read(50):
            pass


@given(
    lengths=st.lists(
        st.sampled_from([0, 1, 50, LINE_BYTES - 2, LINE_BYTES - 1, LINE_BYTES, 3 * LINE_BYTES]), max_size=6
    ),
    block_bytes=st.sampled_from([1000, LINE_BYTES - 1, LINE_BYTES, 2 * LINE_BYTES, 20 * LINE_BYTES]),
    closed=st.booleans(),
)
def test_a_line_that_is_too_long_is_left_out_and_the_others_stay(lengths, block_bytes, closed):
    data = b"".join(bytes([97 + place]) * length + b"\n" for place, length in enumerate(lengths))
    data = data if closed else data.removesuffix(b"\n")
    blocks = list(iterate_blocks(io.BytesIO(data), block_bytes))
    assert sum(block.length for block in blocks) == len(data)
    lines = data.splitlines(keepends=True)
    kept = b"".join(block.data for block in blocks if not block.is_too_long)
    assert kept == b"".join(line for line in lines if len(line) <= LINE_BYTES)
    long = [block.data for block in blocks if block.is_too_long]
    assert long == [line[:1024] for line in lines if len(line) > LINE_BYTES]


def test_the_number_of_a_bad_line_counts_the_lines_that_were_too_long():
    long = b"x" * (LINE_BYTES + 5) + b"\n"
    for size in (2**16, 2**20, 2**25):
        parsed = parse(LOG + long + b"bad\n" + long + LINES[4], size)
        assert parsed.unparsable["line"].to_pylist() == [8, 9, 10]
        assert parsed.unparsable["reason"].to_pylist()[::2] == [TOO_LONG] * 2
        assert parsed.unparsable["text"][0].as_py() == "x" * 1024
        assert parsed.events.num_rows == 3


MEASURE = """
import io, resource, sys, zlib
from network_anomalies.formats import FORMATS, LogOptions
from network_anomalies.formats.blocks import parse_log
from network_anomalies.formats.stored import open_log
HEADER, LINE, LONG = b'#fields\\tts\\tid.orig_h\\tid.resp_h\\tproto\\tduration\\torig_bytes\\tresp_bytes\\tx\\n', \
    b'1713484801.5\\t10.0.0.1\\t10.0.0.2\\ttcp\\t1\\t2\\t3\\tx\\n', b'y' * 10_000_000

class Made(io.RawIOBase):
    def __init__(self, pieces): self.pieces, self.rest = iter(pieces), b''
    def readable(self): return True
    def read(self, size=-1):
        while not self.rest:
            piece = next(self.pieces, None)
            if piece is None: return b''
            self.rest = piece
        data, self.rest = self.rest[:size], self.rest[size:]
        return data

def pieces(megabytes):
    yield HEADER
    for _ in range(megabytes // 10):
        yield LONG if LONG_LINE else LINE * 200_000
    yield b'\\n' + LINE

def packed(megabytes):
    packer = zlib.compressobj(1, wbits=31)
    for piece in pieces(megabytes): yield packer.compress(piece)
    yield packer.flush()

LONG_LINE, PACKED, megabytes = eval(sys.argv[1])
make = lambda: Made((packed if PACKED else pieces)(megabytes))
lines = events = 0
with open_log(make) as stream:
    for parsed in parse_log(stream, FORMATS['zeek'], LogOptions(), 2**22):
        lines, events = lines + parsed.lines, events + parsed.events.num_rows
print(lines, events, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def measure(long_line: bool, packed: bool, megabytes: int) -> list[int]:
    command = [sys.executable, "-c", MEASURE, repr((long_line, packed, megabytes))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_of_a_hundred_megabytes_takes_little_memory(packed):
    lines, events, peak = measure(True, packed, 100)
    _, _, small = measure(True, packed, 10)
    assert (lines, events) == (3, 1)
    assert peak < small + 40


def test_memory_does_not_grow_with_the_file():
    lines, events, peak = measure(False, True, 200)
    _, _, small = measure(False, True, 50)
    assert (lines, events) == (4_000_003, 4_000_001)
    assert peak < small * 1.2
