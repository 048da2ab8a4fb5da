"""A plot, and its picture again."""

from io import BytesIO
from typing import Any

from kedro_datasets.matplotlib import MatplotlibDataset

from network_anomalies.compat import read_stored


class PictureDataset(MatplotlibDataset):  # type: ignore[misc]
    """A ``MatplotlibDataset`` that loads what it saved, as a picture (``PIL.Image.Image``), which notebooks show."""

    def load(self) -> Any:
        """Return the picture as it is stored."""
        from PIL import Image

        return Image.open(BytesIO(read_stored(self)))
