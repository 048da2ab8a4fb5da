"""A plot that can be loaded as a picture."""

from base64 import b64decode
from io import BytesIO
from typing import Any

from kedro_datasets.matplotlib import MatplotlibDataset


class PictureDataset(MatplotlibDataset):  # type: ignore[misc]
    """A ``MatplotlibDataset`` that also loads: the saved figure as a ``PIL.Image.Image``, which notebooks show.

    Example of a catalog entry:

    .. code-block:: yaml

        score_distribution:
          type: network_anomalies.datasets.picture.PictureDataset
          filepath: s3://cybersec-ml-eval/reports/zeek/2024-04-19/score_distribution.png
          credentials: minio

    >>> from matplotlib.figure import Figure
    >>> picture = PictureDataset(filepath="score_distribution.png")
    >>> picture.save(Figure(figsize=(2, 1), dpi=100))
    >>> picture.load().size
    (200, 100)
    """

    def load(self) -> Any:
        """Return the stored picture."""
        from PIL import Image

        return Image.open(BytesIO(b64decode(self.preview())))
