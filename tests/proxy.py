"""A loopback TCP proxy that fails on purpose."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

CHUNK = 65_536


@dataclass
class Fault:
    """What the proxy does to connections; may be changed while it runs.

    Attributes:
        stall: accept, and pass nothing on, in connections that are open too.
        reset_after: bytes from the client after which connections are reset, or None.
        freeze_at: words of a client after which its connection stays open and silent, once; None for never.
        freeze_after: words that the client must have said before on that connection.
        forward: whether the server still gets what ends in ``freeze_at``.
        spread: whether every other connection stalls from then on.
        keep_open: keep the server's side open when the client is gone, as a router does that lost its table.
        frozen: set once a connection is frozen.
    """

    stall: bool = False
    reset_after: int | None = None
    freeze_at: bytes | None = None
    freeze_after: bytes = b""
    forward: bool = False
    spread: bool = False
    keep_open: bool = False
    seen: int = 0
    accepted: int = 0

    def __post_init__(self) -> None:
        self.frozen = threading.Event()

    def freezes(self, said: bytes) -> bool:
        """Tell whether a connection freezes after what its client said."""
        if self.freeze_at is None or self.frozen.is_set():
            return False
        start = said.find(self.freeze_after)
        return start >= 0 and self.freeze_at in said[start:]


@contextlib.contextmanager
def start_proxy(target: str, fault: Fault) -> Iterator[str]:
    """Forward to the host and port of the URL ``target``; yields the URL of the proxy."""
    parts = urlsplit(target)
    address = (parts.hostname, parts.port)
    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        thread = threading.Thread(target=_accept, args=(server, address, fault, stopped), daemon=True)
        thread.start()
        try:
            yield f"{parts.scheme}://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stopped.set()
            thread.join()


def _accept(server: socket.socket, address: tuple, fault: Fault, stopped: threading.Event) -> None:
    while not stopped.is_set():
        with contextlib.suppress(TimeoutError):
            client, _ = server.accept()
            fault.accepted += 1
            threading.Thread(target=_serve, args=(client, address, fault, stopped), daemon=True).start()


def _serve(client: socket.socket, address: tuple, fault: Fault, stopped: threading.Event) -> None:
    with client, contextlib.suppress(OSError):
        if fault.stall:
            stopped.wait()
            return
        with socket.create_connection(address) as upstream:
            silent = threading.Event()
            threading.Thread(target=_pump, args=(upstream, client, fault, silent), daemon=True).start()
            with contextlib.suppress(ConnectionResetError):
                if not _talk(client, upstream, fault, silent):
                    return
            if fault.keep_open or silent.is_set():
                stopped.wait()


def _talk(client: socket.socket, upstream: socket.socket, fault: Fault, silent: threading.Event) -> bool:
    """Pass on what the client says until it is gone or frozen; False if it is to be reset."""
    said = b""
    while data := client.recv(CHUNK):
        fault.seen += len(data)
        if fault.reset_after is not None and fault.seen > fault.reset_after:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if fault.freeze_at:
            said += data
        freezes = fault.freezes(said)
        if freezes or fault.stall:
            silent.set()
        if not silent.is_set() or (freezes and fault.forward):
            upstream.sendall(data)
        if freezes:
            fault.stall = fault.spread
            fault.frozen.set()
        if silent.is_set():
            return True
    return True


def _pump(source: socket.socket, sink: socket.socket, fault: Fault, silent: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            if not (silent.is_set() or fault.stall):
                sink.sendall(data)
