"""What this project uses of other libraries beyond their documented interface, each with the reason.

No other module may use a private attribute of a library: ``tests/test_conventions.py`` checks it.
``tests/test_compat.py`` tests what each function here relies on, so that an upgrade that breaks it fails there first.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from omegaconf import OmegaConf

Catalog = TypeVar("Catalog")
ATTEMPTS = 2
"""How often a request to the store is made. s3fs' own five would turn a store that stalls into a hang of a minute."""

_READING = threading.RLock()


@contextmanager
def use_resolvers(resolvers: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Make OmegaConf use these resolvers; other threads wait until the block ends.

    Reason: OmegaConf keeps resolvers in a class attribute, for the whole process. Kedro registers a resolver of a
    project once and keeps the first one (``OmegaConfigLoader._register_new_resolvers``). Two runs in one process, such
    as two requests to ``kedro server``, would then read each other's dates and paths.

    Upstream: https://github.com/kedro-org/kedro/issues/2925 (open); ``BaseContainer._resolvers`` in
    omegaconf/basecontainer.py.
    """
    with _READING:
        for name, resolver in resolvers.items():
            OmegaConf.register_new_resolver(name, resolver, replace=True)
        yield


def make_catalog(context: Any, catalog_class: type[Catalog]) -> Catalog:
    """Return the catalog of a Kedro context, of a class of the project.

    Reason: Kedro uses the setting ``DATA_CATALOG_CLASS`` for runs only. The catalog of notebooks, ``kedro catalog`` and
    ``kedro viz`` is made by ``KedroContext.catalog``, which has no parameter.

    Upstream: ``KedroContext._get_catalog`` in kedro/framework/context/context.py.
    """
    catalog: Catalog = context._get_catalog(catalog_class)
    return catalog


def limit_s3(filesystem: Any) -> None:
    """Give an s3fs filesystem short limits, before its first request; leave other filesystems alone.

    Reason: fsspec hands out one filesystem for equal arguments. Kedro's own datasets share this one only if nothing is
    added to the arguments that the credentials give, so the limits are set on the filesystem afterwards. ``retries``
    is a public class attribute, and ``session`` a public argument of the constructor; that they can be set later is not
    documented. The session sends a body at once: botocore's wait for leave to send it (``Expect: 100-continue``) has
    no time limit. There is no setting for that header, so the function that adds it is unregistered.

    Upstream: https://github.com/fsspec/s3fs/issues/541 (open) on retries, with ``S3FileSystem`` in s3fs/core.py;
    https://github.com/boto/botocore/issues/1659 on the header, whose answer is to unregister the handler.
    """
    if hasattr(filesystem, "retries") and filesystem.session is None:
        from aiobotocore.session import AioSession
        from botocore.handlers import add_expect_header

        session = AioSession()
        session.unregister("before-call.s3", add_expect_header)
        filesystem.retries = ATTEMPTS
        filesystem.session = session
