"""The other readers, each on an excerpt in the true format of its family."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from gnnrec.data.native import read_native, write_native
from gnnrec.data.readers.amazon import read_amazon
from gnnrec.data.readers.bookcrossing import read_bookcrossing
from gnnrec.data.readers.citeulike import read_citeulike
from gnnrec.data.readers.gowalla import read_gowalla
from gnnrec.data.readers.lastfm import read_lastfm
from gnnrec.data.readers.mind import read_mind
from gnnrec.data.readers.steam import read_steam
from gnnrec.data.readers.yelp import read_yelp
from gnnrec.errors import DataError


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_amazon_2014_gzipped_with_python_metadata(tmp_path: Path) -> None:
    reviews = [
        {"reviewerID": "A1", "asin": "B2", "reviewText": "ok", "overall": 5.0, "unixReviewTime": 1169596800},
        {"reviewerID": "A2", "asin": "B2", "reviewText": "no", "overall": 1.0, "unixReviewTime": 1169596900},
        {"reviewerID": "A1", "asin": "B1", "reviewText": "hm", "overall": 3.0, "unixReviewTime": 1169596700},
    ]
    path = tmp_path / "reviews_Beauty_5.json.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(review) + "\n" for review in reviews).encode()))
    meta = tmp_path / "meta_Beauty.json"
    meta.write_text(
        "{'asin': 'B1', 'title': 'Cup &amp; saucer', 'categories': [['Home', 'Kitchen'], ['Home', 'Gifts']], "
        "'description': '<b>White</b> cup', 'brand': 'Acme'}\n"
        "{'asin': 'B9', 'title': 'Never reviewed'}\n"
    )
    dataset = read_amazon(path, meta)
    assert dataset.users["user_id"].tolist() == ["A1", "A2"]
    assert dataset.items["item_id"].tolist() == ["B1", "B2"]
    assert dataset.items["text"][0] == "Cup & saucer. Acme. Home, Kitchen, Gifts. White cup"
    assert dataset.card["notes"]["num_items_without_a_row"] == 1
    assert dataset.card["num_metadata_rows_without_reviews"] == 1
    assert "2014" in dataset.card["release"]


def test_amazon_2023_counts_parents_and_milliseconds(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "All_Beauty.jsonl",
        {"rating": 4.0, "asin": "B0c", "parent_asin": "B0p", "user_id": "AE1", "timestamp": 1588687728923},
        {"rating": 5.0, "asin": "B0d", "parent_asin": "B0p", "user_id": "AE2", "timestamp": 1588615855070},
    )
    meta = lines(
        tmp_path / "meta.jsonl",
        {"parent_asin": "B0p", "title": "Mist", "features": ["A", "B"], "description": [], "store": "Howard"},
    )
    dataset = read_amazon(path, meta)
    assert dataset.num_items == 1
    assert dataset.interactions.timestamp is not None
    assert dataset.interactions.timestamp.max() == 1588687728
    assert dataset.items["text"][0] == "Mist. Howard. A B"


def test_amazon_errors_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "reviews.json"
    path.write_text(
        '{"reviewerID": "A1", "asin": "B2", "overall": 5.0, "unixReviewTime": 1169596800}\n{"asin": \n'
    )
    with pytest.raises(DataError, match=r"reviews\.json' line 2: not JSON"):
        read_amazon(path)
    path.write_text('{"asin": "B2", "overall": 5.0}\n')
    with pytest.raises(DataError, match="line 1: no field 'reviewerID' or 'user_id'"):
        read_amazon(path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"overall": "five"}, "'overall' or 'rating' must be a number \\(got 'five'\\)"),
        ({"overall": float("nan")}, "'overall' or 'rating' must be a number"),
        ({"unixReviewTime": "01 2, 2014"}, "'unixReviewTime' .* must be a number \\(got '01 2, 2014'\\)"),
        ({"unixReviewTime": 1e30}, "'unixReviewTime' .* must be a number"),
        ({"reviewerID": ["A1"]}, "'reviewerID' or 'user_id' must be an id \\(got \\['A1'\\]\\)"),
        ({"asin": ""}, "'parent_asin' or 'asin' must be an id \\(got ''\\)"),
    ],
)
def test_amazon_fields_of_another_type_are_named(tmp_path: Path, wrong: dict, message: str) -> None:
    good = {"reviewerID": "A1", "asin": "B2", "overall": 5.0, "unixReviewTime": 1169596800}
    path = lines(tmp_path / "reviews.json", good, {**good, **wrong})
    with pytest.raises(DataError, match=rf"reviews\.json' line 2: {message}"):
        read_amazon(path)


def test_amazon_ids_are_text_also_where_some_are_numbers(tmp_path: Path) -> None:
    good = {"reviewerID": "A1", "asin": "b", "overall": 5.0, "unixReviewTime": 1169596800}
    path = lines(tmp_path / "reviews.json", good, {**good, "asin": 1})
    dataset = read_amazon(path, lines(tmp_path / "meta.json", {"asin": 1, "title": "One"}))
    assert read_native(write_native(dataset, tmp_path / "out")).items["item_id"].tolist() == ["1", "b"]
    assert dataset.items["title"][0] == "One"


def test_literals_are_never_executed(tmp_path: Path) -> None:
    path = tmp_path / "reviews.json"
    path.write_text("{'reviewerID': __import__('os').getcwd()}\n")
    with pytest.raises(DataError, match="line 1: not JSON"):
        read_amazon(path)


def test_yelp(tmp_path: Path) -> None:
    review = {
        "review_id": "r",
        "user_id": "u1",
        "business_id": "b1",
        "stars": 4.0,
        "date": "2018-07-07 22:09:11",
    }
    lines(
        tmp_path / "yelp_academic_dataset_review.json",
        review,
        {**review, "user_id": "u2", "business_id": "b2", "date": "2018-07-08"},
        {**review, "date": "2019-01-01 00:00:00"},
    )
    lines(
        tmp_path / "yelp_academic_dataset_business.json",
        {"business_id": "b1", "name": "Turning Point", "city": "North Wales", "categories": "Cafes, Food"},
        {"business_id": "b3", "name": "Closed", "city": "Tucson", "categories": None},
    )
    lines(
        tmp_path / "yelp_academic_dataset_user.json",
        {"user_id": "u1", "friends": "u2, u77"},
        {"user_id": "u2", "friends": "None"},
    )
    dataset = read_yelp(tmp_path, friends=True)
    assert dataset.items["item_id"].tolist() == ["b1", "b3", "b2"]
    assert dataset.items["text"][0] == "Turning Point. Cafes, Food. North Wales"
    assert not dataset.interactions.unique
    assert dataset.tables["friends"].to_numpy().tolist() == [[0, 1]]
    assert dataset.card["notes"]["num_dangling_rows_in_friends"] == 1
    assert dataset.interactions.timestamp is not None
    assert dataset.interactions.timestamp[0] == 1531001351
    lines(tmp_path / "yelp_academic_dataset_review.json", review, {**review, "stars": "n/a"})
    with pytest.raises(DataError, match=r"review\.json' line 2: 'stars' must be a number \(got 'n/a'\)"):
        read_yelp(tmp_path)


def test_gowalla(tmp_path: Path) -> None:
    (tmp_path / "loc-gowalla_totalCheckins.txt.gz").write_bytes(
        gzip.compress(
            b"0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847\n"
            b"0\t2010-10-18T22:17:43Z\t30.2691029532\t-97.7493953705\t420315\n"
            b"1\t2010-10-17T23:42:03Z\t30.2557309927\t-97.7633857727\t22847\n"
        )
    )
    (tmp_path / "loc-gowalla_edges.txt").write_text("0\t1\n1\t0\n1\t5\n")
    dataset = read_gowalla(tmp_path)
    assert dataset.items["item_id"].tolist() == [22847, 420315]
    assert dataset.interactions.timestamp is not None
    assert dataset.interactions.timestamp.tolist() == [1287532527, 1287440263, 1287358923]
    assert len(dataset.tables["friends"]) == 2


def test_lastfm(tmp_path: Path) -> None:
    (tmp_path / "artists.dat").write_text(
        'id\tname\turl\tpictureURL\n1\tMALICE MIZER\thttp://a\thttp://b\n2\tDiary of "Dreams"\thttp://c\t\n',
        encoding="utf-8",
    )
    (tmp_path / "user_artists.dat").write_text(
        "userID\tartistID\tweight\n2\t1\t13883\n2\t2\t11690\n4\t2\t5\n"
    )
    (tmp_path / "user_friends.dat").write_text("userID\tfriendID\n2\t4\n4\t2\n")
    (tmp_path / "tags.dat").write_bytes("tagID\ttagValue\n1\tmetal\n2\tcanção\n".encode("latin-1"))
    (tmp_path / "user_taggedartists.dat").write_text(
        "userID\tartistID\ttagID\tday\tmonth\tyear\n2\t2\t2\t1\t4\t2009\n"
    )
    dataset = read_lastfm(tmp_path)
    assert dataset.items["title"].tolist() == ["MALICE MIZER", 'Diary of "Dreams"']
    assert dataset.context is not None
    assert dataset.context["plays"].tolist() == [13883, 11690, 5]
    assert dataset.tables["tags"]["tag"].tolist() == ["canção"]
    assert dataset.tables["friends"].to_numpy().tolist() == [[0, 1], [1, 0]]
    (tmp_path / "user_friends.dat").write_text("userID\tfriendID\tsince\n2\t4\t2009\n")
    assert read_lastfm(tmp_path).tables["friends"].to_numpy().tolist() == [[0, 1]]
    (tmp_path / "user_taggedartists.dat").write_text("userID\tartistID\tday\tmonth\tyear\n2\t2\t1\t4\t2009\n")
    with pytest.raises(DataError, match=r"user_taggedartists\.dat' has no column 'tagID'"):
        read_lastfm(tmp_path)


@pytest.mark.parametrize("original", [True, False])
def test_bookcrossing(tmp_path: Path, original: bool) -> None:
    if original:
        (tmp_path / "BX-Book-Ratings.csv").write_bytes(
            b'"User-ID";"ISBN";"Book-Rating"\r\n"276725";"034545104X";"0"\r\n"276726";"0155061224";"5"\r\n'
        )
        books = (
            '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";"Image-URL-S"\n'
            '"034545104X";"Flesh; \\"Tones\\": Nóvel";"M. J. Rose";"2002";"Farrar &amp; Co";"http://x"\n'
        )
        (tmp_path / "BX-Books.csv").write_bytes(books.encode("latin-1"))
        (tmp_path / "BX-Users.csv").write_bytes(
            b'"User-ID";"Location";"Age"\n"276725";"tyler, texas, usa";NULL\n'
        )
    else:
        (tmp_path / "Ratings.csv").write_text(
            "User-ID,ISBN,Book-Rating\n276725,034545104X,0\n276726,0155061224,5\n"
        )
        (tmp_path / "Books.csv").write_text(
            "ISBN,Book-Title,Book-Author,Year-Of-Publication,Publisher\n"
            '034545104X,"Flesh; ""Tones"": Nóvel",M. J. Rose,2002,Farrar & Co\n',
            encoding="utf-8",
        )
    dataset = read_bookcrossing(tmp_path)
    assert dataset.items["item_id"].tolist() == ["034545104X", "0155061224"]
    assert dataset.items["text"][0] == 'Flesh; "Tones": Nóvel. M. J. Rose. Farrar & Co. 2002'
    assert dataset.interactions.rating is not None
    assert dataset.interactions.rating.tolist() == [0, 5]


def test_bookcrossing_counts_what_it_leaves_out(tmp_path: Path) -> None:
    ratings = tmp_path / "Ratings.csv"
    ratings.write_text("User-ID,ISBN,Book-Rating\n1,a,0\n3,b,5\n\n")
    books = tmp_path / "Books.csv"
    head = "ISBN,Book-Title,Book-Author,Year-Of-Publication,Publisher\n"
    books.write_text(head + "a,A,B,1999,C\nb,too,short\nc,D,E,2000,F,too long\n")
    users = tmp_path / "Users.csv"
    users.write_text("User-ID,Location,Age\n1,here,30\n2,there,40\n3,x\n")
    dataset = read_bookcrossing(tmp_path)
    assert dataset.items["item_id"].tolist() == ["a", "b"]
    assert dataset.users["user_id"].tolist() == ["1", "3"]
    assert dataset.card["notes"] == {
        "num_malformed_book_rows": 2,
        "num_malformed_user_rows": 1,
        "num_users_without_ratings": 1,
        "num_users_without_a_row": 1,
        "num_items_without_a_row": 1,
        "num_items_without_text": 1,
    }
    books.write_text(head)
    users.write_text("User-ID,Location,Age\n")
    assert read_bookcrossing(tmp_path).card["notes"]["num_users_without_a_row"] == 2
    books.write_text(head + "a,A,B,1999,C\na,D,E,2000,F\n")
    with pytest.raises(DataError, match=r"repeats the id 'a' \(rows 1 and 2"):
        read_bookcrossing(tmp_path)
    books.write_text("ISBN,Book-Title\na,A\n")
    with pytest.raises(DataError, match=r"Books\.csv' line 1: expected the columns item_id, title"):
        read_bookcrossing(tmp_path)
    books.write_text(head + 'a,"A,B,1999,C\n' + "b,A,B,1999,C\n" * 3)
    with pytest.raises(DataError, match=r"Books\.csv' line 2: a quote is opened and not closed up to line 5"):
        read_bookcrossing(tmp_path)
    (tmp_path / "BX-Books.csv").write_text(head.replace(",", ";") + 'a;"' + "A\n" * 100_000)
    with pytest.raises(
        DataError, match=r"BX-Books\.csv' up to line \d+: field larger .* a quote that is not closed"
    ):
        read_bookcrossing(tmp_path)
    ratings.write_text("User-ID,ISBN,Book-Rating\n1,a,0\n3,b,5,6\n")
    with pytest.raises(DataError, match=r"Ratings\.csv' line 3: expected user, ISBN and a rating"):
        read_bookcrossing(tmp_path)
    ratings.write_text("User-ID,ISBN,Book-Rating\n1,a,0\n,b,5\n")
    with pytest.raises(DataError, match=r"Ratings\.csv' line 3: the user or the ISBN is missing"):
        read_bookcrossing(tmp_path)


@pytest.mark.parametrize("original", [True, False])
def test_bookcrossing_fields_may_run_over_lines(tmp_path: Path, original: bool) -> None:
    files = {
        "Ratings.csv": '"User-ID","ISBN","Book-Rating"\n"1"," a","5"\n',
        "Books.csv": '"ISBN","Title","Author","Year","Publisher"\n'
        '" a","The long\n  title","X","1999","P"\n"","T","","",""\n',
        "Users.csv": '"User-ID","Location","Age"\n"1","here,\nthere","9"\n',
    }
    for name, content in files.items():
        path = tmp_path / (
            {"Ratings.csv": "BX-Book-Ratings.csv"}.get(name, f"BX-{name}") if original else name
        )
        path.write_text(content.replace('","', '";"') if original else content)
    dataset = read_bookcrossing(tmp_path)
    assert dataset.items["item_id"].tolist() == [" a"]
    assert dataset.items["text"].tolist() == ["The long title. X. P. 1999"]
    assert dataset.users["location"].tolist() == ["here, there"]
    assert dataset.card["notes"] == {"num_malformed_book_rows": 1}


def test_citeulike_a(tmp_path: Path) -> None:
    (tmp_path / "users.dat").write_text("2 0 3\n1 3\n")
    (tmp_path / "citations.dat").write_text("1 2\n0\n1 0\n0\n")
    (tmp_path / "tags.dat").write_text("ucsc-browser\nrr_interval\n")
    (tmp_path / "item-tag.dat").write_text("2 1 0\n0\n1 1\n0\n")
    dataset = read_citeulike(tmp_path)
    assert dataset.interactions.pair_keys().tolist() == [0, 3, 4 + 3]
    assert dataset.items["text"].tolist() == ["rr_interval, ucsc-browser", "", "rr_interval", ""]
    assert dataset.tables["citations"].to_numpy().tolist() == [[0, 2], [2, 0]]
    (tmp_path / "raw-data.csv").write_bytes(
        b'"doc.id","title","citeulike.id","raw.title","raw.abstract"\n'
        b'"1","a","42","The metabolic world","We caf\xe9"\n'
    )
    assert read_citeulike(tmp_path).items["text"][0] == "The metabolic world. We café"
    assert read_citeulike(tmp_path, text="tags").items["text"][2] == "rr_interval"
    (tmp_path / "users.dat").write_text("2 0 3\n3 3\n")
    with pytest.raises(DataError, match=r"users\.dat' line 2: says 3 values and holds 1"):
        read_citeulike(tmp_path)
    for number in ("99999999999", "-1"):
        (tmp_path / "users.dat").write_text(f"2 0 3\n1 {number}\n")
        with pytest.raises(DataError, match=r"users\.dat' line 2: "):
            read_citeulike(tmp_path)
    (tmp_path / "users.dat").write_text("2 0 3\n1 2000000000\n")
    with pytest.raises(DataError, match="largest item number is 2,000,000,000 in 3 rows"):
        read_citeulike(tmp_path)
    (tmp_path / "users.dat").write_text("2 0 3\n")
    with (tmp_path / "raw-data.csv").open("a") as stream:
        stream.write('"2","b","43","B","We study\nlarge graphs\n\nand ""more"""\n')
    assert read_citeulike(tmp_path).items["text"][1] == 'B. We study large graphs and "more"'
    with (tmp_path / "raw-data.csv").open("a") as stream:
        stream.write('"3","c","44","C","We study\n"4","d","45","D","ok"\n')
    with pytest.raises(
        DataError, match=r"raw-data\.csv' line 7: a quote is opened and not closed up to line 8"
    ):
        read_citeulike(tmp_path)


def test_citeulike_t(tmp_path: Path) -> None:
    (tmp_path / "users.dat").write_text("1 1\n2 0 1\n")
    (tmp_path / "tags.dat").write_text("webimages\nhomomorphism\n")
    (tmp_path / "tag-item.dat").write_text("2 1 0\n1 1\n")
    assert read_citeulike(tmp_path).items["text"].tolist() == ["webimages", "webimages, homomorphism"]


def test_steam(tmp_path: Path) -> None:
    reviews = (
        "{u'username': u'Chaos Syren', u'hours': 0.1, u'product_id': u'725280', u'date': u'2017-12-17', "
        "u'text': u'x'}\n"
        "{u'username': u'Ariman1', u'product_id': u'328100', u'date': u'2017-08-02', u'text': u'y'}\n"
    )
    (tmp_path / "steam_reviews.json.gz").write_bytes(gzip.compress(reviews.encode()))
    (tmp_path / "steam_games.json").write_text(
        "{u'app_name': u'Lost', u'genres': [u'Action', u'Indie'], u'id': u'725280', u'developer': u'Kot'}\n"
        "{u'app_name': u'No id'}\n{u'app_name': u'Blank id', u'id': u''}\n{u'app_name': u'Again', u'id': u'725280'}\n"
    )
    dataset = read_steam(tmp_path)
    assert dataset.card["notes"] == {
        "num_games_without_an_id": 2,
        "num_repeated_games": 1,
        "num_items_without_a_row": 1,
        "num_items_without_text": 1,
    }
    assert dataset.items["text"][0] == "Lost. Kot. Action, Indie"
    assert dataset.context is not None
    np.testing.assert_allclose(dataset.context["hours"], [0.1, 0.0])
    (tmp_path / "steam_reviews.json.gz").write_bytes(
        gzip.compress(reviews.replace("0.1", "'1,024.5'").encode())
    )
    with pytest.raises(DataError, match=r"line 1: 'hours' must be a number \(got '1,024\.5'\)"):
        read_steam(tmp_path)
    (tmp_path / "steam_reviews.json.gz").write_bytes(gzip.compress(reviews.replace("Ariman1", "").encode()))
    with pytest.raises(DataError, match=r"line 2: 'username' or 'user_id' must be an id \(got ''\)"):
        read_steam(tmp_path)


def test_mind(tmp_path: Path) -> None:
    (tmp_path / "behaviors.tsv").write_text(
        "1\tU13740\t11/11/2019 9:05:58 AM\tN55189 N42782\tN55689-1 N35729-0\n"
        "2\tU13740\t11/12/2019 6:11:30 PM\tN55189 N42782\tN35729-1 N55689-1\n"
        "3\tU91836\t11/12/2019 6:11:30 PM\t\tN20678-0 N39317-1\n"
    )
    (tmp_path / "news.tsv").write_text(
        'N55528\tlifestyle\troyals\tThe "Brands"\tShop it\thttps://x\t[{"Label": "P"}]\t[]\n'
        "N55689\tsports\tnfl\tCharles Rogers\t\thttps://y\t[]\t[]\n",
        encoding="utf-8",
    )
    dataset = read_mind(tmp_path)
    assert len(dataset.interactions) == 5
    assert dataset.items["text"].tolist()[:2] == ['The "Brands". Shop it', "Charles Rogers"]
    clicks = read_mind(tmp_path, history=False)
    assert len(clicks.interactions) == 3
    assert clicks.interactions.timestamp is not None
    assert clicks.interactions.timestamp.min() == 1573463158
    (tmp_path / "behaviors.tsv").write_text("1\tU1\tyesterday\t\tN1-1\n")
    with pytest.raises(DataError, match="line 1: 'yesterday' is no time"):
        read_mind(tmp_path)
    for user, clicked in (("", "N1-1"), ("U1", "-1")):
        (tmp_path / "behaviors.tsv").write_text(f"1\t{user}\t11/11/2019 9:05:58 AM\t\t{clicked}\n")
        with pytest.raises(
            DataError, match=r"behaviors\.tsv' line 1: the id of the user or of a clicked article"
        ):
            read_mind(tmp_path)
