"""The first rows of a dataset, as kedro-viz shows them."""

from typing import NewType

import pandas as pd

from network_anomalies.errors import show_hidden

ROWS = 20
"""How many rows a preview has at most."""
TablePreview = NewType("TablePreview", dict[str, object])
"""A table as kedro-viz takes it: ``index``, ``columns`` and ``data``. It knows a preview by the name of this type."""


def make_preview(frame: pd.DataFrame) -> TablePreview:
    """Return the first rows of a frame as texts, none of them long."""
    shown = frame.head(ROWS).astype("object")
    texts = shown.where(shown.notna(), "").map(lambda value: show_hidden(str(value), most=100))
    return TablePreview({str(name): values for name, values in texts.to_dict("split").items()})
