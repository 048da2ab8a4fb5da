"""Tables of events that become one frame."""

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from network_anomalies.events.joining import to_frame

SIZES = ["small", "medium", "large"]


def make_table(addresses, first=0):
    """Return a table as pandas writes it: up to 127 categories have codes of one byte."""
    names = [f"10.0.{(first + place) // 256}.{(first + place) % 256}" for place in range(addresses)]
    size = pd.Categorical.from_codes(np.arange(addresses) % 3, SIZES, ordered=True)
    return pa.Table.from_pandas(pd.DataFrame({"src_ip": pd.Categorical(names), "size": size}), preserve_index=False)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 400)), min_size=1, max_size=5))
def test_text_stays_categories_however_many_each_table_has(cases):
    tables = [make_table(*case) for case in cases]
    frame = to_frame(tables)
    expected = pd.concat([table.to_pandas().astype("str") for table in tables], ignore_index=True)
    pd.testing.assert_frame_equal(frame.astype("str"), expected)
    assert isinstance(frame["src_ip"].dtype, pd.CategoricalDtype) and frame["src_ip"].cat.categories.is_unique
    assert frame["size"].cat.ordered and frame["size"].cat.categories.tolist() == SIZES


def test_a_column_that_a_table_lacks_is_missing_in_its_rows():
    ports = pa.table({"dst_port": pa.array([53, 443], pa.int32())})
    frame = to_frame([make_table(2), ports])
    assert frame["dst_port"].isna().tolist() == [True, True, False, False]
    assert frame["src_ip"].isna().tolist() == [False, False, True, True]
