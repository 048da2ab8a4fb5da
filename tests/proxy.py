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
        stall: accept, and never answer.
        reset_after: bytes from the client after which connections are reset, or None.
    """

    stall: bool = False
    reset_after: int | None = None
    seen: int = 0
    accepted: int = 0


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
            threading.Thread(target=_pump, args=(upstream, client), daemon=True).start()
            while data := client.recv(CHUNK):
                fault.seen += len(data)
                if fault.reset_after is not None and fault.seen > fault.reset_after:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                upstream.sendall(data)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
