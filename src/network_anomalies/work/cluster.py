"""Connections to Dask workers: those of a scheduler, or of a local cluster that lasts as long as it is used."""

import asyncio
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, Security, rpc

from network_anomalies.errors import ProjectError
from network_anomalies.parameters import WorkersParameters
from network_anomalies.work.versions import find_differences

ADDRESS = "DASK_SCHEDULER_ADDRESS"
ANSWER_SECONDS = 5
"""How long a scheduler may take to answer, and how long it may be without workers before the work."""


@contextmanager
def connect_workers(workers: WorkersParameters) -> Iterator[Client]:
    """Yield a client of the scheduler at ``DASK_SCHEDULER_ADDRESS``, or of a local cluster of separate processes.

    Raises:
        ProjectError: the scheduler does not answer or has no workers, or a worker has other versions.
    """
    address = os.environ.get(ADDRESS)
    if address:
        _require_scheduler(address)
        with Client(address, timeout=ANSWER_SECONDS, set_as_default=False) as client:
            yield _check_workers(client)
        return
    processes = workers.local_processes or CPU_COUNT
    with (
        LocalCluster(
            n_workers=processes, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield _check_workers(client)


def require_workers(client: Client, seconds: int = ANSWER_SECONDS) -> None:
    """Wait until there is a worker, at most some seconds.

    Raises:
        ProjectError: there is none.
    """
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError:
        address = os.environ.get(ADDRESS, "of the local cluster")
        raise ProjectError(
            f"the Dask scheduler {address} has no workers: start some (`dask worker ADDRESS`), "
            "or set workers.dask to false"
        ) from None


def _check_workers(client: Client) -> Client:
    require_workers(client)
    if differences := find_differences(client):
        raise ProjectError(
            f"Dask workers differ from this process, and results could differ too: {'; '.join(differences)}; "
            "start workers of the same image or environment"
        )
    return client


def _require_scheduler(address: str) -> None:
    """Ask the scheduler for its identity.

    A client has a time limit for the connection only, and would wait for ever for a peer that accepts it and stays
    silent.
    """
    try:
        with ThreadPoolExecutor(1) as thread:  # this thread may have an event loop at work
            thread.submit(asyncio.run, _ask_identity(address)).result()
    except (OSError, ValueError, TimeoutError) as error:
        raise ProjectError(
            f"no Dask scheduler answers at {address} within {ANSWER_SECONDS} seconds: check {ADDRESS} and that "
            "`dask scheduler` runs there, or set workers.dask to false"
        ) from error


async def _ask_identity(address: str) -> None:
    async with asyncio.timeout(ANSWER_SECONDS):
        scheduler = rpc(address, connection_args=Security().get_connection_args("client"))
        try:
            await scheduler.identity()
        finally:
            await scheduler.close_rpc()
