"""The versions of what results depend on, in this process and in Dask workers."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from distributed import Client

PACKAGES = ("numpy", "pandas", "pyarrow", "fsspec", "s3fs", "dask", "distributed", "cloudpickle", "network-anomalies")


def find_differences(client: Client) -> list[str]:
    """Say in which versions the workers of a client differ from this process: `worker A has pandas 1, not 2`."""
    found: Any = client.get_versions(packages=list(PACKAGES))
    own = found["client"]["packages"]
    differences = [
        f"worker {address} has {name} {told['packages'][name]}, not {own[name]}"
        for address, told in found["workers"].items()
        for name in ("python", *PACKAGES)
        if told["packages"][name] != own[name]
    ]
    if differences:
        return differences
    digests = client.run(digest_code)
    return [
        f"worker {address} has other code of network-anomalies"
        for address, digest in digests.items()
        if digest != digest_code()
    ]


@cache
def digest_code() -> str:
    """Return the sha256 of the modules of this package: two states of the code may have one version."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\n".encode() + path.read_bytes())
    return digest.hexdigest()
