"""A plot, and its bytes again."""

from kedro_datasets.matplotlib import MatplotlibDataset


class FigureDataset(MatplotlibDataset):  # type: ignore[misc]
    """A ``MatplotlibDataset`` that loads what it saved: the image's bytes."""

    def load(self) -> bytes:
        """Return the image as it is stored."""
        data: bytes = self._fs.cat_file(str(self._get_load_path()))
        return data
