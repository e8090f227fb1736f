"""Gowalla check-ins of SNAP: loc-gowalla_totalCheckins.txt and loc-gowalla_edges.txt.

E. Cho, S. A. Myers and J. Leskovec, KDD 2011, https://snap.stanford.edu/data/loc-gowalla.html
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from gnnrec.data.build import build_dataset, encode
from gnnrec.data.dataset import Dataset
from gnnrec.data.files import find_file, find_optional
from gnnrec.data.separated import read_table


def read_gowalla(folder: str | Path, name: str = "gowalla-snap") -> Dataset:
    """Return check-ins as interactions (repeats kept), places as items, friendships as a side table."""
    folder = Path(folder)
    path = find_file(folder, "loc-gowalla_totalCheckins.txt", "Gowalla_totalCheckins.txt")
    names = ["user", "time", "latitude", "longitude", "item"]
    types = {"user": pa.int64(), "item": pa.int64(), "time": pa.timestamp("s", "UTC")}
    table = read_table(path, "\t", names=names, types=types)
    places = table.select(["item", "latitude", "longitude"]).to_pandas().drop_duplicates("item")
    places = places.rename(columns={"item": "item_id"}).sort_values("item_id", ignore_index=True)
    tables = {}
    edges = find_optional(folder, "loc-gowalla_edges.txt", "Gowalla_edges.txt")
    if edges is not None:
        tables["friends"] = read_table(edges, "\t", names=["user", "friend"]).to_pandas()
    return build_dataset(
        name,
        encode(table["user"], f"'{path}': user"),
        encode(table["item"], f"'{path}': location"),
        source=str(path),
        timestamp=table["time"].cast(pa.int64()).to_numpy(),
        items=pd.DataFrame(places),
        tables=tables,
        card={
            "license": "SNAP: research use with citation",
            "citation": "Cho, Myers and Leskovec, Friendship and Mobility, KDD 2011",
            "source": path.name,
        },
    )
