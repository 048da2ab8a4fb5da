"""A coverage-guided search for inputs that break a parser of flow logs.

    pip install hypofuzz
    python benchmarks/fuzz.py [--minutes N]

HypoFuzz runs the properties of ``tests/test_formats.py`` again and again, and keeps the inputs that reach code that was
not reached before. It takes no test with fixtures, so the properties are copied to a folder without those of this
project. A broken property is printed with its input; the exit code is then 1.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("test_formats.py", "flow_logs.py")


def main() -> int:
    """Fuzz for some minutes; print what HypoFuzz found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in COPIED:
            shutil.copy(ROOT / "tests" / file, folder)
        (folder / "conftest.py").write_text(
            f"from pathlib import Path\nSHARED = Path({str(ROOT.parent / 'shared')!r})\n"
        )
        command = [Path(sys.executable).parent / "hypothesis", "fuzz", "--no-dashboard", "--numprocesses", "1", "--"]
        try:
            done = subprocess.run(
                [*command, "-p", "no:xdist", str(folder)], cwd=folder, capture_output=True, text=True, check=False,
                timeout=60 * options.minutes,
            )  # fmt: skip
        except subprocess.TimeoutExpired as expired:  # it runs until it is stopped
            output = (expired.stdout or b"").decode() + (expired.stderr or b"").decode()
        else:
            output = done.stdout + done.stderr
    print(output)
    return int(bool(re.search(r"Falsifying|Traceback|no property", output, re.IGNORECASE)))


if __name__ == "__main__":
    sys.exit(main())
