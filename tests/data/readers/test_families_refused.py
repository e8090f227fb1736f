"""What readers of families of files refuse, in one line, and what they mend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_scripts import amazon
from gnnrec.data.native import read_native, write_native
from gnnrec.data.readers.amazon import read_amazon
from gnnrec.data.readers.bookcrossing import read_bookcrossing
from gnnrec.data.readers.citeulike import read_citeulike
from gnnrec.data.readers.lastfm import read_lastfm
from gnnrec.data.readers.recbole import read_recbole
from gnnrec.errors import DataError


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_lastfm_ids_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    (tmp_path / "user_artists.dat").write_text("userID\tartistID\tweight\n2\t51\t9\n2\tx5\t7\n")
    (tmp_path / "artists.dat").write_text("id\tname\n51\tDuran Duran\n")
    with pytest.raises(
        DataError, match=r"user_artists\.dat': In CSV column #1: Row #3: .* invalid value 'x5'"
    ):
        read_lastfm(tmp_path)


def test_bookcrossing_ids_are_alike_in_books_and_ratings(tmp_path: Path) -> None:
    (tmp_path / "Ratings.csv").write_text("User-ID,ISBN,Rating\n1,A&amp;1,5\n2,B,10\n")
    (tmp_path / "Books.csv").write_text(
        "ISBN,Title,Author,Year,Publisher\nA&amp;1,Cup &amp; tea,X,1999,Y\nB,T,X,0,Y\n"
    )
    dataset = read_bookcrossing(tmp_path)
    assert dataset.items["item_id"].tolist() == ["A&amp;1", "B"]
    assert dataset.items["title"][0] == "Cup & tea"


@pytest.mark.parametrize("rating", ["11", "-1", "5.5", "9" * 5000])
def test_bookcrossing_ratings_are_0_to_10(tmp_path: Path, rating: str) -> None:
    (tmp_path / "Ratings.csv").write_text(f"User-ID,ISBN,Rating\n1,A,5\n2,B,{rating}\n")
    with pytest.raises(DataError, match="line 3: expected user, ISBN and a rating from 0 to 10"):
        read_bookcrossing(tmp_path)


def test_amazon_files_are_those_of_the_category(tmp_path: Path) -> None:
    review = {"reviewerID": "A1", "asin": "B2", "overall": 5.0, "unixReviewTime": 1169596800}
    lines(tmp_path / "All_Beauty.jsonl", review)
    lines(tmp_path / "meta_All_Beauty.jsonl", {"asin": "B2", "title": "Of another category"})
    with pytest.raises(
        DataError, match=r"reviews_Beauty_5 \(found: All_Beauty\.jsonl, meta_All_Beauty\.jsonl\)"
    ):
        amazon.read(tmp_path, "Beauty", "name")
    lines(tmp_path / "reviews_Beauty_5.json", review, review)
    assert len(amazon.read(tmp_path, "Beauty", "name").interactions) == 2
    assert amazon.read(tmp_path, "All_Beauty", "name").items["title"].tolist() == ["Of another category"]


def test_recbole_columns_of_one_name_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.inter").write_text("user_id:token\titem_id:token\titem_id:float\nu\ti\t1\n")
    with pytest.raises(DataError, match=r"a\.inter' line 1: two columns are named 'item_id'"):
        read_recbole(tmp_path, "a")


def test_halves_of_surrogate_pairs_become_question_marks(tmp_path: Path) -> None:
    review = {"reviewerID": "A1", "asin": "B2", "overall": 5.0, "unixReviewTime": 1169596800}
    path = lines(tmp_path / "reviews.json", review)
    title = {"asin": "B2", "title": "nice \ud83d and \U0001f600", "features": ["\udc00"]}
    dataset = read_amazon(path, lines(tmp_path / "meta.json", title))
    again = read_native(write_native(dataset, tmp_path / "out"))
    assert again.items["title"].tolist() == ["nice ? and \U0001f600"]


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 200_000])
def test_json_beyond_what_is_read_is_told(tmp_path: Path, value: str) -> None:
    path = tmp_path / "reviews.json"
    path.write_text(f'{{"asin": {value}\n')
    with pytest.raises(DataError, match=r"reviews\.json' line 1: a number of too many digits"):
        read_amazon(path)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("0", r"line 2: doc\.id must be at least 1 \(got 0\)"),
        ("99999999999", "the largest article .* is 99,999,999,998"),
    ],
)
def test_citeulike_articles_count_from_1(tmp_path: Path, number: str, message: str) -> None:
    (tmp_path / "users.dat").write_text("1 0\n")
    (tmp_path / "raw-data.csv").write_text(f"doc.id,raw.title,raw.abstract\n{number},A,B\n")
    with pytest.raises(DataError, match=rf"raw-data\.csv':? {message}"):
        read_citeulike(tmp_path)
