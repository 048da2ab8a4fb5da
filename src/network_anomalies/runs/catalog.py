"""Kedro's catalog. An error about missing data names the pipeline that makes it."""

from typing import Any

from kedro.framework.context import CatalogCommandsMixin, KedroContext
from kedro.framework.project import pipelines
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.io.core import is_parameter

from network_anomalies.compat import make_catalog
from network_anomalies.errors import ProjectError, explain_missing, list_causes, recognise
from network_anomalies.runs.stages import GROUPS, STAGES

UNUSED = "(no pipeline)"
"""Heading of the entries that no pipeline uses."""


class ProjectCatalog(DataCatalog, CatalogCommandsMixin):
    """A ``DataCatalog`` whose errors name the pipeline that makes missing data, also for stock datasets."""

    def load(self, ds_name: str, version: str | None = None) -> Any:
        """Load a dataset.

        Raises:
            ProjectError: the dataset has no content yet (the error names the pipeline to run), or a dataset of this
                project says what else is wrong.
        """
        try:
            return super().load(ds_name, version)
        except DatasetError as error:
            if missing := self._explain_missing(ds_name, error):
                raise missing from error
            if own := next((cause for cause in list_causes(error) if isinstance(cause, ProjectError)), None):
                raise own from own.__cause__
            raise

    def describe_datasets(self, pipelines: Any = None) -> dict[str, Any]:
        """Return the datasets of some pipelines, by type. Without ``pipelines``: of all, and those of no pipeline."""
        described: dict[str, Any] = super().describe_datasets(pipelines)
        return described if pipelines else described | {UNUSED: {"datasets": self._group_unused()}}

    def _explain_missing(self, name: str, error: DatasetError) -> ProjectError | None:
        """Return the error to raise if the dataset has no content yet, None if the error has another cause."""
        dataset = self.get(name)
        if isinstance(dataset, MemoryDataset):
            return ProjectError(
                "this dataset has content only during a run: begin the run with the node that makes it, "
                "or load one that is stored, such as raw_network_events, silver_events, scores or alerts"
            )
        if dataset is None or not self._is_missing(name, error) or not (makers := find_makers(name)):
            return None
        return explain_missing(f"{name} of that source and date is not there yet", makers)

    def _is_missing(self, name: str, error: DatasetError) -> bool:
        causes = list(list_causes(error))
        if any(isinstance(cause, FileNotFoundError) for cause in causes):
            return recognise(error) is None  # a missing bucket has an error of its own
        return isinstance(causes[-1], DatasetError) and not self.exists(name)

    def _group_unused(self) -> dict[str, list[str]]:
        used = set().union(*(pipeline.datasets() for pipeline in pipelines.values()))
        groups: dict[str, list[str]] = {}
        for name in sorted(set(self.keys()) - used):
            if not is_parameter(name):
                groups.setdefault(str(self.get_type(name)), []).append(name)
        return groups


class ProjectContext(KedroContext):
    """A ``KedroContext`` with a ``ProjectCatalog``: Kedro uses ``DATA_CATALOG_CLASS`` for runs only."""

    @property
    def catalog(self) -> ProjectCatalog:
        """The catalog of notebooks, ``kedro catalog`` and ``kedro viz``."""
        return make_catalog(self, ProjectCatalog)


def find_makers(name: str) -> list[str]:
    """Return the stages that make a dataset, or if no stage does, other pipelines except groups of stages."""
    makers = [pipeline_name for pipeline_name, pipeline in pipelines.items() if name in pipeline.all_outputs()]
    others = [maker for maker in makers if maker not in {*GROUPS, "__default__"}]
    return [stage for stage in STAGES if stage in makers] or others
