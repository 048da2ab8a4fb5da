"""Headless Chromium, Debian's package: pages as a person sees them."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REQUIRED = "NETWORK_ANOMALIES_NEEDS_BROWSER"
"""Variable that turns a skipped test into a failed one where there is no browser; the gate sets it."""
LIGHT, DARK = "1", "0"


def require_browser() -> str:
    """Return the path of the browser, or skip the test."""
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get(REQUIRED):
            pytest.fail("there is no chromium: apt-get install chromium")
        pytest.skip("needs Chromium: apt-get install chromium")
    return found


def browse(url: str, *options: str, size: tuple[int, int] = (1280, 1000), scheme: str = LIGHT) -> str:
    """Return what a page is once its scripts have run, as HTML."""
    command = [
        *(require_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=15000"),
        *(f"--window-size={size[0]},{size[1]}", f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom"),
        *options,
    ]
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def measure(page: str, script: str, folder: Path, width: int, scheme: str = LIGHT) -> str:
    """Return what a script gives for a page in a frame of some width; a window itself is not so narrow."""
    asking = f"<script>addEventListener('load', () => parent.document.title = String({script}))</script></body>"
    (folder / "page.html").write_text(page.replace("</body>", asking))
    (folder / "frame.html").write_text(
        f'<!doctype html><title></title><iframe src="page.html" style="width:{width}px;height:800px;border:0"></iframe>'
    )
    with serve(folder) as address:
        shown = browse(f"{address}/frame.html", scheme=scheme)
    return shown.partition("<title>")[2].partition("</title>")[0]


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""
