"""The real data sets of ../shared/data: counts exactly as their READMEs print them, and round trips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gnnrec.data.dataset import load_dataset
from gnnrec.data.readers.lightgcn import read_lightgcn
from gnnrec.data.readers.recbole import read_recbole
from gnnrec.data.splits import make_split
from gnnrec.data.writers.lightgcn import write_lightgcn
from gnnrec.data.writers.recbole import write_recbole

pytestmark = pytest.mark.shared

# users and items with interactions, rows, distinct pairs, published (train, validation, test)
COUNTS = {
    "amazon-beauty-s3rec": (22363, 12101, 198502, 198502, (153776, 22363, 22363)),
    "amazon-cdr-sport-cloth/sport.parquet": (9928, 30796, 100938, 100938, (92612, 0, 8326)),
    "amazon-cdr-sport-cloth/cloth.parquet": (9928, 39008, 95369, 95369, (87829, 0, 7540)),
    "amazon-office-minionerec": (3231, 3317, 22447, 21188, (12715, 4866, 4866)),
    "citeulike-a": (5551, 16980, 204986, 204986, None),
    "gowalla": (29858, 40981, 1027370, 1027370, (810128, 0, 217242)),
    "lastfm-hetrec": (1892, 17632, 92834, 92834, None),
    "ml-100k": (943, 1682, 100000, 100000, None),
    "ml-latest-small": (668, 10325, 105339, 105339, None),
    "yelp-s3rec": (30431, 20033, 316354, 304524, (255492, 30431, 30431)),
    "yelp2018": (31668, 38048, 1561406, 1561406, (1237259, 0, 324147)),
}
TEXT = {
    "citeulike-a": 172.12314487632509,
    "ml-latest-small": 296.9756026720883,
    "yelp-s3rec": 78.88079668546898,
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_those_of_the_readme(shared_data: Path, name: str) -> None:
    facts = load_dataset(shared_data / name).describe()
    users, items, rows, pairs, published = COUNTS[name]
    assert facts["num_users_with_interactions"] == users
    assert facts["num_items_with_interactions"] == items
    assert (facts["num_interactions"], facts["num_unique_pairs"]) == (rows, pairs)
    assert facts["density"] == pytest.approx(pairs / (users * items))
    if published:
        assert tuple(facts["published"].values()) == published
    if name in TEXT:
        assert facts["text"]["mean_chars"] == pytest.approx(TEXT[name])


def test_side_tables(shared_data: Path) -> None:
    tables = load_dataset(shared_data / "lastfm-hetrec").describe()["tables"]
    assert tables["tags"] == {"num_rows": 184941, "num_dangling": 0}
    assert tables["friends"] == {"num_rows": 25434, "num_dangling": 0}
    assert tables["kg"] == {
        "num_rows": 15518,
        "num_entities": 9366,
        "num_relations": 60,
        "num_items_linked": 3846,
        "num_items_linked_without_triple": 0,
    }
    kg = load_dataset(shared_data / "ml-100k").describe()["tables"]["kg"]
    assert (kg["num_rows"], kg["num_entities"], kg["num_relations"], kg["num_items_linked"]) == (
        91631,
        34628,
        24,
        1598,
    )
    cites = load_dataset(shared_data / "citeulike-a").describe()["tables"]["citations"]
    assert cites == {"num_rows": 89418, "num_dangling": 0}


@pytest.mark.parametrize("name", ["gowalla", "yelp2018"])
def test_lists_written_and_read_back(shared_data: Path, tmp_path: Path, name: str) -> None:
    dataset = load_dataset(shared_data / name)
    split = make_split(dataset, "published", seed=0)
    assert len(split.train) + len(split.validation) == COUNTS[name][4][0]  # type: ignore[index]
    assert abs(len(split.validation) / COUNTS[name][4][0] - 0.1) < 0.002  # type: ignore[index]
    back = read_lightgcn(write_lightgcn(split, tmp_path))
    assert (back.num_users, back.num_items) == COUNTS[name][:2]
    again = make_split(back, "published")
    assert again.fingerprint == split.fingerprint
    assert len(again.test) == COUNTS[name][4][2]  # type: ignore[index]


def test_atomic_files_written_and_read_back(shared_data: Path, tmp_path: Path) -> None:
    dataset = load_dataset(shared_data / "ml-100k")
    back = read_recbole(write_recbole(dataset, tmp_path / "ml-100k"))
    assert back.interactions.fingerprint() == dataset.interactions.fingerprint()
    for kind, ours, theirs in (("user", dataset.users, back.users), ("item", dataset.items, back.items)):
        assert ours[f"{kind}_id"].tolist() == theirs[f"{kind}_id"].tolist()
    assert dataset.items["text"].tolist() == back.items["text"].tolist()
    assert dataset.items["kg_entity"].fillna("").tolist() == back.items["kg_entity"].fillna("").tolist()
    np.testing.assert_array_equal(dataset.tables["kg"].to_numpy(), back.tables["kg"].to_numpy())


def test_published_cold_items_stay_cold(shared_data: Path) -> None:
    """CiteULike-a with the split of GAR: 1,698 cold items each for validation and test, as the paper says."""
    split = make_split(load_dataset(shared_data / "citeulike-a" / "split_gar.parquet"), "published")
    assert not split.params["carved"]
    cold = split.cold_items
    assert int(cold[np.unique(split.test.item)].sum()) == 1698
    assert int(cold[np.unique(split.validation.item)].sum()) == 1698


def test_the_bundled_set_is_a_native_folder() -> None:
    dataset = load_dataset("debian")
    assert (dataset.num_users, dataset.num_items, len(dataset.interactions)) == (11426, 4205, 126648)
    assert dataset.interactions.user_counts().min() >= 5
    assert dataset.interactions.item_counts().min() >= 5
    assert dataset.interactions.unique
