"""CSV, TSV and Parquet files, and everything that may be wrong with them."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gnnrec.data.dataset import Dataset
from gnnrec.data.readers.tabular import read_tabular
from gnnrec.errors import DataError, GnnrecError

GOOD = "u,i,r,t\nann,x,3,1500000000\nbob,y,4,1500000100\nann,y,5,1500000200\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, **options: Any) -> Dataset:
    return read_tabular(path, user="u", item="i", rating="r", timestamp="t", **options)


@pytest.mark.parametrize("form", ["csv", "tsv", "gz", "parquet", "crlf", "bom"])
def test_forms_agree(tmp_path: Path, form: str) -> None:
    expected = read(write(tmp_path / "good.csv", GOOD))
    content = {
        "csv": ("a.csv", GOOD),
        "tsv": ("a.tsv", GOOD.replace(",", "\t")),
        "gz": ("a.csv.gz", gzip.compress(GOOD.encode())),
        "crlf": ("a.csv", GOOD.replace("\n", "\r\n")),
        "bom": ("a.csv", b"\xef\xbb\xbf" + GOOD.encode()),
    }
    if form == "parquet":
        path = tmp_path / "a.parquet"
        pd.DataFrame(
            {
                "u": ["ann", "bob", "ann"],
                "i": ["x", "y", "y"],
                "r": [3, 4, 5],
                "t": 1500000000 + np.arange(3) * 100,
            }
        ).to_parquet(path)
    else:
        path = write(tmp_path / content[form][0], content[form][1])
    assert read(path).fingerprint() == expected.fingerprint()


def test_ids_do_not_depend_on_row_order(tmp_path: Path) -> None:
    header, *rows = GOOD.splitlines()
    one = read(write(tmp_path / "a.csv", GOOD))
    two = read(write(tmp_path / "b.csv", "\n".join([header, *reversed(rows)])))
    assert one.fingerprint() == two.fingerprint()
    assert two.users["user_id"].tolist() == ["ann", "bob"]


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        (["101463350189962023774", "101463350189962023775"], None),  # as a float both are one number
        (["007", "07", "7"], None),
        (["1.0", "1"], ["1", "1.0"]),
        (["18446744073709551615", "9"], None),
        (["10", " 9", "-1"], [-1, 9, 10]),
    ],
)
def test_ids_stay_as_they_are_written(tmp_path: Path, users: list[str], expected: list | None) -> None:
    path = write(tmp_path / "a.csv", "user,item\n" + "".join(f"{user},x\n" for user in users))
    dataset = read_tabular(path)
    assert dataset.users["user_id"].tolist() == (expected or users)
    assert dataset.interactions.user_counts().tolist() == [1] * len(users)


def test_a_missing_id_among_numbers_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 ids are missing \(the first in row 2\)"):
        read_tabular(write(tmp_path / "a.csv", "user,item\n1,2\nNA,3\n"))


@pytest.mark.parametrize(
    ("taken", "listed", "expected"),
    [
        (["0001", "X9", "0002"], ["0001", "0002"], ["0001", "0002", "X9"]),
        (["1", "2"], ["2", "1", "X9"], ["2", "1", "X9"]),
        (["1", "12"], ["2", "1"], [2, 1, 12]),
    ],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_ids_of_item_tables_are_of_one_kind(
    tmp_path: Path, taken: list[str], listed: list[str], expected: list, form: str
) -> None:
    path = write(tmp_path / "a.csv", "user,item\n" + "".join(f"ann,{item}\n" for item in taken))
    items = tmp_path / f"items.{form}"
    frame = pd.DataFrame({"item_id": listed, "name": [f"Item {item}" for item in listed]})
    frame.to_csv(items, index=False) if form == "csv" else frame.to_parquet(items)
    dataset = read_tabular(path, items=items, text=["name"])
    assert dataset.items["item_id"].tolist() == expected
    text = dict(zip(dataset.items["item_id"].astype(str), dataset.items["text"]))
    assert {item: text[item] for item in listed} == {item: f"Item {item}" for item in listed}


def test_an_item_table_of_other_ids_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item\nann,1.0\nbob,2.0\n")
    items = write(tmp_path / "items.csv", "item_id,name\n1,A\n2,B\n")
    with pytest.raises(DataError, match=r"shares no id with .* \(e\.g\. '1' there, '1\.0' here\)"):
        read_tabular(path, items=items)


def test_quotes_dates_and_milliseconds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'u,i,t\n"a,1","x ""y""",2019-01-01T00:00:00\nb,z,2019-01-02T00:00:00\n')
    dataset = read_tabular(path, user="u", item="i", timestamp="t")
    assert dataset.users["user_id"].tolist() == ["a,1", "b"]
    assert dataset.items["item_id"].tolist() == ['x "y"', "z"]
    assert dataset.interactions.timestamp is not None
    assert dataset.interactions.timestamp.tolist() == [1546300800, 1546387200]
    path = write(tmp_path / "b.csv", "u,i,t\na,x,1500000000123\n")
    assert read_tabular(path, user="u", item="i", timestamp="t").interactions.timestamp == [1500000000]


def test_item_tables_give_text_and_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", GOOD)
    items = write(tmp_path / "items.csv", "id,name,about\ny,Why,\nz,Zed,last\nx,Ex,crossed\n")
    dataset = read(path, items=items, item_id="id", text=["name", "about"])
    assert dataset.items["item_id"].tolist() == ["y", "z", "x"]
    assert dataset.items["text"].tolist() == ["Why", "Zed. last", "Ex. crossed"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            GOOD.replace("u,i,r,t", "user,i,r,t"),
            r"bad\.csv' has no column 'u' \(its columns: user, i, r, t\)",
        ),
        (GOOD.replace("4,1500000100", "-4,1500000100"), r"bad\.csv': rating -4.0 in row 2"),
        (GOOD.replace("4,1500000100", "NaN,1500000100"), r"rating nan in row 2"),
        (GOOD.replace("4,1500000100", ",1500000100"), r"rating nan in row 2"),
        (
            GOOD.replace("4,1500000100", "high,1500000100"),
            r"column 'r' of '.*bad\.csv' must hold numbers \(got 'high' in row 2\)",
        ),
        (
            GOOD.replace("1500000100", "yesterday"),
            r"column 't' of '.*bad\.csv' must hold seconds or ISO dates, all alike \(got 'yesterday' in row 2\)",
        ),
        (
            GOOD.replace("1500000100", "1500000100000"),
            r"mixed units: 1500000000 in row 1 .* 1500000100000 in row 2",
        ),
        (GOOD.replace("1500000100", "9500000100"), r"timestamp 9500000100 in row 2 lies in the future"),
        (GOOD.replace("1500000100", ""), r"timestamp in row 2 is missing"),
        (GOOD.replace("1500000100", "1e19"), r"timestamp 1e\+19 in row 2 is no time"),
        (GOOD.replace("1500000100", "-1e19"), r"timestamp -1e\+19 in row 2 is no time"),
        (GOOD.replace("bob,", ","), r"column 'u' of .*ids are missing \(the first in row 2\)"),
        (GOOD + "cy,x,1\n", r"bad\.csv'.*Expected 4 columns, got 3"),
        ("u,i,r,t\n", "holds no interactions"),
        ("", "is empty"),
        (GOOD.replace("ann", "añn").encode("latin-1"), r"line 2: byte 0xf1 is not utf-8; pass the encoding"),
        (GOOD.encode("utf-16"), "begins with the mark of utf-16"),
    ],
)
def test_bad_files_are_named_with_the_place(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "bad.csv", content))


def test_an_unknown_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item\na,b\n")
    with pytest.raises(DataError, match="unknown encoding 'foo': use a name such as utf-8"):
        read_tabular(tmp_path / "r.csv", encoding="foo")


def test_a_column_that_is_there_twice_is_told(tmp_path: Path) -> None:
    path, items = tmp_path / "r.csv", tmp_path / "i.csv"
    path.write_text('user,item,"a,b","c,b"\nu,i,1,2\n')
    items.write_text("item,text,text\ni,x,y\n")
    with pytest.raises(DataError, match=r"i.csv' has two columns 'text': rename one of them"):
        read_tabular(path, items=items, item_id="item", text=["text"])
    path.write_text("user,item,user,x,x\na,b,c,1,2\n")
    with pytest.raises(DataError, match=r"r.csv' has two columns 'user'"):
        read_tabular(path)
    path.write_text("user,item,x,x\na,b,1,2\n")  # nobody asked for these
    assert read_tabular(path).num_users == 1


def test_a_stated_encoding_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", GOOD.replace("ann", "añn").encode("latin-1"))
    assert read(path, encoding="latin-1").users["user_id"].tolist() == ["añn", "bob"]


@pytest.mark.parametrize(
    ("rows", "first", "last"),
    [
        ('a,x,3,1,"no end\nb,y,4,2,fine\nc,z,4,3,fine\n', 2, 4),  # up to the end of the file
        ('a,x,3,1,fine\nb,y,4,2,"no end\nc,z,4,3,"fine"\nd,z,4,3,fine\n', 3, 4),  # up to the next quote
        ('a,x,3,1,"two\nlines"\nb,y,4,2,"no end\nc,z,4,3,fine', 4, 5),  # the first is as it should be
    ],
)
def test_a_quote_that_is_not_closed_is_told(tmp_path: Path, rows: str, first: int, last: int) -> None:
    content = ("u,i,r,t,n\n" + rows).encode()
    for name, written in (("bad.csv", content), ("bad.csv.gz", gzip.compress(content))):
        with pytest.raises(DataError, match=rf"{name}' line {first}: a quote .* up to line {last}"):
            read(write(tmp_path / name, written))


def test_lines_may_end_in_a_carriage_return_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "mac.csv", GOOD.replace("ann", '"ann"').replace("\n", "\r"))
    assert read(path).users["user_id"].tolist() == ["ann", "bob"]


def test_quotes_that_cost_no_row_pass(tmp_path: Path) -> None:
    long = "x" * 200_000  # more than module csv takes for a field, unless told
    rows = f'a,x,3,1,5" disk\nb,y,4,2,"a "good" one"\nc,z,4,3,"two\n""lines"""\nd,y,4,4,"{long}"\n'
    assert len(read(write(tmp_path / "good.csv", "u,i,r,t,n\n" + rows)).interactions) == 4
    assert csv.field_size_limit() < len(long)


@pytest.mark.parametrize("lost", [1, 8, 30])
def test_a_cut_off_gzip_is_told(tmp_path: Path, lost: int) -> None:
    rows = "".join(f"u{n},i{n % 7},3,{1500000000 + n * n}\n" for n in range(3000))
    packed = gzip.compress(("u,i,r,t\n" + rows).encode())
    with pytest.raises(DataError, match=r"bad\.csv\.gz.*cut off"):
        read(write(tmp_path / "bad.csv.gz", packed[:-lost]))


@pytest.mark.parametrize("rows", ["x,A\n,B\n", "1,A\n,B\n", "1,A\nNA,B\n"])
def test_an_item_without_an_id_is_told(tmp_path: Path, rows: str) -> None:
    items = write(tmp_path / "items.csv", "item_id,name\n" + rows)
    path = write(tmp_path / "a.csv", f"user,item\n1,{rows[0]}\n")
    with pytest.raises(
        DataError, match=r"column 'item_id' of '.*items\.csv' misses 1 ids \(the first in row 2\)"
    ):
        read_tabular(path, items=items)


def test_a_second_column_of_ids_is_told(tmp_path: Path) -> None:
    items = write(tmp_path / "items.csv", "movieId,item_id\nx,A\n")
    with pytest.raises(DataError, match=r"items\.csv' has a column 'item_id' beside 'movieId'"):
        read_tabular(write(tmp_path / "a.csv", "user,item\n1,x\n"), items=items, item_id="movieId")


def test_repeated_items_and_missing_text_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", GOOD)
    twice = write(tmp_path / "twice.csv", "item_id,name\nx,A\ny,B\nx,C\n")
    with pytest.raises(DataError, match=r"'item_id' of '.*twice\.csv' repeats the id 'x' \(rows 1 and 3"):
        read(path, items=twice)
    empty = write(tmp_path / "empty.csv", "item_id,name\nx,\ny, \n")
    with pytest.raises(DataError, match=r"no row has any text in 'name'"):
        read(path, items=empty, text=["name"])
    with pytest.raises(DataError, match="no column 'title'"):
        read(path, items=empty, text=["title"])
    some = write(tmp_path / "some.csv", "item_id,name\nx,\ny,B\n")
    assert read(path, items=some, text=["name"]).card["notes"]["num_items_without_text"] == 1


def test_an_item_table_is_told_by_its_own_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", GOOD)
    items = write(tmp_path / "items.csv", "movie,name,text\nx,A,t\ny,B,u\n")
    with pytest.raises(DataError, match=r"no column 'title' \(its columns: movie, name, text\)"):
        read(path, items=items, item_id="movie", text=["title", "text"])
    both = read(path, items=items, item_id="movie", text=["movie", "name", "text"]).items["text"]
    assert both.tolist() == ["x. A. t", "y. B. u"]
    with pytest.raises(DataError, match=r"has a column 'text', which the text made of 'name' would replace"):
        read(path, items=items, item_id="movie", text=["name"])
    twice = write(tmp_path / "twice.csv", "movie,name\nx,A\nx,B\n")
    with pytest.raises(DataError, match=r"column 'movie' of '.*twice\.csv' repeats the id 'x'"):
        read(path, items=twice, item_id="movie")


def test_a_missing_file_and_a_broken_parquet_are_told(tmp_path: Path) -> None:
    with pytest.raises(GnnrecError, match="there is no file"):
        read(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"bad\.parquet' as parquet"):
        read(write(tmp_path / "bad.parquet", b"PAR1 nonsense"))


def test_a_long_separator_goes_with_quotes(tmp_path: Path) -> None:
    rows = 'u::i::r::t\nann::"x::1"::3::1500000000\nbob::y::4::1500000100\n'
    dataset = read(write(tmp_path / "a.csv", rows), separator="::")
    assert dataset.items["item_id"].tolist() == ["x::1", "y"]


@pytest.mark.parametrize("separator", ["§", '"', "\n", "a\r"])
def test_a_separator_that_cannot_be_is_told(tmp_path: Path, separator: str) -> None:
    with pytest.raises(
        DataError, match="the separator must be ASCII characters without quotes and line ends"
    ):
        read(write(tmp_path / "a.csv", GOOD), separator=separator)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"user": "u", "item": "i", "rating": "u"}, "column 'u' of '.*' is named for user and for rating"),
        ({"user": "i", "item": "i"}, "column 'i' of '.*' is named for user and for item"),
    ],
)
def test_a_column_that_is_named_twice_is_told(tmp_path: Path, names: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_tabular(write(tmp_path / "a.csv", GOOD), **names)
