"""MovieLens 100K, 1M, 10M, 20M, 25M, 32M and the latest sets.

F. M. Harper and J. A. Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015, https://doi.org/10.1145/2827872
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from gnnrec.data.build import build_dataset, encode
from gnnrec.data.dataset import Dataset
from gnnrec.data.files import find_optional
from gnnrec.data.separated import read_table
from gnnrec.errors import DataError

CITATION = "Harper and Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015"
LICENSE = "MovieLens terms of GroupLens: research use with citation, no commercial use without permission"

_RATING = ["user_id", "item_id", "rating", "timestamp"]
_WHOLE = ("user_id", "userId", "user", "item_id", "movieId", "item", "timestamp")
_WORDS = ("title", "genres", "tag", "zip_code", "release_date", "video_release_date", "imdb_url")
# types that were guessed would be those of text for the whole column, where one row is bad
_TYPES = {
    **dict.fromkeys(_WHOLE, pa.int64()),
    **dict.fromkeys(_WORDS, pa.string()),
    "rating": pa.float64(),
}
_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *(
        "Fantasy",
        "Film-Noir",
        "Horror",
        "Musical",
        "Mystery",
        "Romance",
        "Sci-Fi",
        "Thriller",
        "War",
        "Western",
    ),
)


def read_movielens(folder: str | Path, name: str | None = None) -> Dataset:
    """Return any MovieLens release from its unpacked folder; the release is told by the names of its files.

    Items carry title, year, genres and text = title and genres; 1M and 100K carry user attributes; tags
    become the side table `tags` (user, item, tag, timestamp). Ratings are kept as they are, none is filtered.
    """
    folder = Path(folder)
    if find_optional(folder, "u.data"):
        parts = _read_100k(folder)
    elif find_optional(folder, "ratings.dat"):
        parts = _read_dat(folder)
    elif find_optional(folder, "ratings.csv"):
        parts = _read_csv(folder)
    else:
        raise DataError(f"'{folder}' is no MovieLens folder: it has none of u.data, ratings.dat, ratings.csv")
    ratings, movies, users, tags, source = parts
    movies["year"] = movies["title"].str.extract(r"\((\d{4})[^)]*\)\s*$", expand=False)
    genres = (
        movies["genres"]
        .str.replace("(no genres listed)", "", regex=False)
        .str.replace("|", ", ", regex=False)
    )
    movies["text"] = (movies["title"].fillna("") + ". " + genres + ".").str.removesuffix(" .")
    card = {"license": LICENSE, "citation": CITATION, "text_from": "title and genres", "source": source.name}
    return build_dataset(
        name or folder.name,
        encode(ratings["user_id"], f"'{source}': user"),
        encode(ratings["item_id"], f"'{source}': movie"),
        source=str(source),
        rating=ratings["rating"].to_numpy(),
        timestamp=ratings["timestamp"].to_numpy(),
        users=users,
        items=movies,
        tables={} if tags is None else {"tags": tags},
        card=card,
    )


_Parts = tuple[pa.Table, pd.DataFrame, pd.DataFrame | None, pd.DataFrame | None, Path]


def _read_100k(folder: Path) -> _Parts:
    source = folder / "u.data"
    ratings = read_table(source, "\t", names=_RATING, types=_TYPES)
    columns = ["item_id", "title", "release_date", "video_release_date", "imdb_url", *_GENRES]
    movies = read_table(
        folder / "u.item",
        "|",
        names=columns,
        encoding="latin-1",
        types=_TYPES,
    ).to_pandas()
    flags = movies[list(_GENRES)].to_numpy() == 1
    movies = movies[["item_id", "title", "release_date", "imdb_url"]]
    movies["genres"] = ["|".join(name for name, on in zip(_GENRES, row) if on) for row in flags]
    users = None
    if (folder / "u.user").is_file():
        names = ["user_id", "age", "gender", "occupation", "zip_code"]
        users = read_table(folder / "u.user", "|", names=names, types=_TYPES).to_pandas()
    return ratings, movies, users, None, source


def _read_dat(folder: Path) -> _Parts:
    source = folder / "ratings.dat"
    ratings = read_table(source, "::", names=_RATING, types=_TYPES)
    try:
        movies = _movies_dat(folder, "utf-8")
    except DataError:
        movies = _movies_dat(folder, "latin-1")  # 1M is latin-1, 10M is UTF-8
    users = tags = None
    if (folder / "users.dat").is_file():
        names = ["user_id", "gender", "age", "occupation", "zip_code"]
        users = read_table(folder / "users.dat", "::", names=names, types=_TYPES).to_pandas()
    if (folder / "tags.dat").is_file():
        names = ["user", "item", "tag", "timestamp"]
        tags = read_table(folder / "tags.dat", "::", names=names, types=_TYPES).to_pandas()
    return ratings, movies, users, tags, source


def _movies_dat(folder: Path, encoding: str) -> pd.DataFrame:
    names = ["item_id", "title", "genres"]
    return read_table(folder / "movies.dat", "::", names=names, types=_TYPES, encoding=encoding).to_pandas()


def _read_csv(folder: Path) -> _Parts:
    source = find_optional(folder, "ratings.csv") or folder / "ratings.csv"
    columns = ["userId", "movieId", "rating", "timestamp"]
    ratings = read_table(source, ",", types=_TYPES, columns=columns).rename_columns(_RATING)
    movies = read_table(
        folder / "movies.csv", ",", types=_TYPES, quote=True, columns=["movieId", "title", "genres"]
    )
    movies = movies.to_pandas().rename(columns={"movieId": "item_id"})
    if (folder / "links.csv").is_file():
        links = read_table(
            folder / "links.csv", ",", types=_TYPES, columns=["movieId", "imdbId", "tmdbId"]
        ).to_pandas()
        movies = movies.merge(links.rename(columns={"movieId": "item_id"}), on="item_id", how="left")
    tags = None
    if (folder / "tags.csv").is_file():
        columns = ["userId", "movieId", "tag", "timestamp"]
        tags = read_table(folder / "tags.csv", ",", types=_TYPES, quote=True, columns=columns).to_pandas()
        tags.columns = ["user", "item", "tag", "timestamp"]
    return ratings, movies, None, tags, source
