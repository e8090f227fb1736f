"""MovieLens readers on excerpts in the true format of each release."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnnrec.data.readers.movielens import read_movielens
from gnnrec.errors import DataError

FLAGS = "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0"
ACTION = "0|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0|1|0|0"


def write_100k(folder: Path) -> Path:
    (folder / "u.data").write_bytes(
        b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n22\t242\t1\t878887116\n"
    )
    rows = [
        f"242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/M/title-exact?Kolya%20(1996)|{FLAGS}",
        f"302|Misérables, Les (1995)|01-Jan-1995|||{ACTION}",
        "267|unknown|||| 1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0".replace("| 1|", "|1|"),
    ]
    (folder / "u.item").write_bytes("\n".join(rows).encode("latin-1") + b"\n")
    (folder / "u.user").write_text("22|25|M|writer|40206\n186|39|F|executive|00000\n196|49|M|writer|55105\n")
    return folder


def test_100k(tmp_path: Path) -> None:
    dataset = read_movielens(write_100k(tmp_path), "ml-100k")
    assert (dataset.num_users, dataset.num_items, len(dataset.interactions)) == (3, 3, 3)
    assert dataset.items["item_id"].tolist() == [242, 302, 267]
    assert dataset.items["text"][0] == "Kolya (1996). Animation, Children's, Comedy."
    assert dataset.items["title"][1] == "Misérables, Les (1995)"
    assert dataset.items["year"].tolist()[:2] == ["1996", "1995"]
    assert dataset.users["zip_code"][1] == "00000"
    first = dataset.interactions.select(dataset.interactions.item == 1)
    assert dataset.users["user_id"][int(first.user[0])] == 186
    assert first.rating is not None
    assert first.rating[0] == 3


def test_1m_and_10m(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text(
        "1::1193::5::978300760\n1::661::3.5::978302109\n2::1193::4::978298413\n"
    )
    movies = (
        "661::James and the Giant Peach (1996)::Animation|Children's|Musical\n1193::Café: One (1975)::Drama\n"
    )
    (tmp_path / "movies.dat").write_bytes(movies.encode("latin-1"))
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    (tmp_path / "tags.dat").write_text("2::661::fruit: odd::1162160415\n9::661::nobody::1162160415\n")
    dataset = read_movielens(tmp_path)
    assert (dataset.num_users, dataset.num_items, len(dataset.interactions)) == (2, 2, 3)
    assert dataset.items["title"][1] == "Café: One (1975)"
    assert dataset.tables["tags"].to_dict("records") == [
        {"user": 1, "item": 0, "tag": "fruit: odd", "timestamp": 1162160415}
    ]
    assert dataset.card["notes"]["num_dangling_rows_in_tags"] == 1


def test_25m_csv_with_bom_and_crlf(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_bytes(
        b"\xef\xbb\xbfuserId,movieId,rating,timestamp\r\n1,2,3.5,1112486027\r\n2,29,4.0,1112484676\r\n"
    )
    (tmp_path / "movies.csv").write_text(
        "movieId,title,genres\n2,Jumanji (1995),Adventure|Children\n"
        '29,"City, The (1995)",(no genres listed)\n'
    )
    (tmp_path / "links.csv").write_text("movieId,imdbId,tmdbId\n2,0113497,8844\n29,0112682,\n")
    dataset = read_movielens(tmp_path)
    assert dataset.items["title"].tolist() == ["Jumanji (1995)", "City, The (1995)"]
    assert dataset.items["text"].tolist()[1].startswith("City, The (1995)")
    assert "no genres" not in dataset.items["text"][1]
    assert len(dataset.interactions) == 2


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of u\.data, ratings\.dat, ratings\.csv"):
        read_movielens(tmp_path)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    folder = write_100k(tmp_path)
    (folder / "u.data").write_text("196\t242\t3\t881250949\n186\t302\t3\n")
    with pytest.raises(DataError, match=r"u\.data.*#2: Expected 4 columns, got 3"):
        read_movielens(folder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1::x2::4::978302109", "column #1: Row #2: .* to int64: invalid value 'x2'"),
        ("1::2::five::978302109", "column #2: Row #2: .* to double: invalid value 'five'"),
        ("1::2::4::yesterday", "column #3: Row #2: .* to int64: invalid value 'yesterday'"),
        ("1::2::4::2001-01-01", "column #3: Row #2: .* to int64: invalid value '2001-01-01'"),
    ],
)
def test_a_value_that_is_no_number_is_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "ratings.dat").write_text(f"1::1::5::978300760\n{row}\n")
    (tmp_path / "movies.dat").write_text("1::Toy Story (1995)::Comedy\n2::Jumanji (1995)::Adventure\n")
    with pytest.raises(DataError, match=rf"ratings\.dat': In CSV {message}"):
        read_movielens(tmp_path)


def test_a_movie_of_a_csv_that_is_no_number_is_named(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,3a,4,964981247\n")
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n3,B,Y\n")
    with pytest.raises(DataError, match=r"ratings\.csv': In CSV column #1: Row #2: .* invalid value '3a'"):
        read_movielens(tmp_path)
