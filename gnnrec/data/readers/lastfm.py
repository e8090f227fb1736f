"""Last.FM of HetRec 2011: artists that users listened to, tags and friends.

I. Cantador, P. Brusilovsky and T. Kuflik, HetRec 2011, https://grouplens.org/datasets/hetrec-2011
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from gnnrec.data.build import build_dataset, encode
from gnnrec.data.dataset import Dataset
from gnnrec.data.files import find_file, find_optional
from gnnrec.data.separated import read_table

_WHOLE = ("userID", "artistID", "friendID", "tagID", "id", "weight", "timestamp", "day", "month", "year")
# types that were guessed would be those of text for the whole column, where one row is bad
_TYPES = {**dict.fromkeys(_WHOLE, pa.int64()), **dict.fromkeys(("name", "tagValue"), pa.string())}


def read_lastfm(folder: str | Path, name: str = "lastfm-hetrec") -> Dataset:
    """Return listening as interactions (with `context.plays`), artists as items, tags and friends as tables.

    Text is the artist's name alone: the tags come from users who also listened, so they are a side table, and
    whoever makes text from them must build them from train (protocol: no text from held-out interactions).
    """
    folder = Path(folder)
    path = find_file(folder, "user_artists.dat")
    table = read_table(path, "\t", types=_TYPES, columns=["userID", "artistID", "weight"])
    artists = find_file(folder, "artists.dat")
    items = read_table(artists, "\t", types=_TYPES, columns=["id", "name"]).to_pandas()
    items.columns = ["item_id", "title"]
    items["text"] = items["title"]
    tables = {}
    friends = find_optional(folder, "user_friends.dat")
    if friends is not None:
        pairs = read_table(friends, "\t", types=_TYPES, columns=["userID", "friendID"])
        tables["friends"] = pairs.rename_columns(["user", "friend"]).to_pandas()
    tags = _read_tags(folder)
    if tags is not None:
        tables["tags"] = tags
    return build_dataset(
        name,
        encode(table["userID"], f"'{path}': userID"),
        encode(table["artistID"], f"'{path}': artistID"),
        source=str(path),
        context=pd.DataFrame({"plays": table["weight"].to_numpy()}),
        items=items,
        tables=tables,
        card={
            "license": "HetRec 2011: non-commercial research",
            "citation": "Cantador, Brusilovsky and Kuflik, HetRec 2011; Last.fm, https://www.last.fm",
            "source": path.name,
            "text_from": "artist name",
            "tags_from": "users who also interacted: a leak if made from more than train",
        },
    )


def _read_tags(folder: Path) -> pd.DataFrame | None:
    dated = find_optional(folder, "user_taggedartists-timestamps.dat")
    path = dated or find_optional(folder, "user_taggedartists.dat")
    words = find_optional(folder, "tags.dat")
    if path is None or words is None:
        return None
    moment = ["timestamp"] if dated else ["day", "month", "year"]
    tags = (
        read_table(path, "\t", types=_TYPES, columns=["userID", "artistID", "tagID", *moment])
        .to_pandas()
        .rename(columns={"userID": "user", "artistID": "item"})
    )
    names = read_table(
        words, "\t", types=_TYPES, encoding="latin-1", columns=["tagID", "tagValue"]
    ).to_pandas()
    tags["tag"] = tags["tagID"].map(names.set_index("tagID")["tagValue"])
    if dated is not None:
        tags["timestamp"] = tags["timestamp"] // 1000
    return tags.drop(columns="tagID")
