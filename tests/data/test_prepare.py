from __future__ import annotations

import importlib.util
import json
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from gnnrec.data.dataset import Dataset, load_dataset
from gnnrec.data.prepare import Family, prepare, run
from gnnrec.data.readers.tabular import read_tabular
from gnnrec.errors import DataError
from gnnrec.files import sha256_file
from gnnrec.report.data_figures import draw_figures

SCRIPTS = Path(__file__).resolve().parents[2] / "data_scripts"
FAMILIES = ("movielens", "yelp", "gowalla", "lastfm", "bookcrossing", "citeulike", "steam", "mind")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(folder: Path) -> Path:
    rows = "".join(f"u{n % 6},i{n % 5},{1 + n % 5},{1500000000 + n}\n" for n in range(30))
    path = folder / "ratings.csv"
    path.write_text("user,item,rating,timestamp\n" + rows)
    (folder / "items.csv").write_text("item,name\n" + "".join(f"i{n},Item {n}\n" for n in range(5)))
    return path


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_states_terms_and_where_from(name: str) -> None:
    for key, family in script(name).FAMILIES.items():
        assert key == family.name
        assert family.license
        assert family.citation
        assert family.sources or family.how
        assert all(source.url.startswith(("https://", "http://")) for source in family.sources)


def test_a_family_from_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "ml-20m.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(
            "ml-20m/ratings.csv", "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n2,2,1.0,1112486028\n"
        )
        packed.writestr("ml-20m/movies.csv", "movieId,title,genres\n2,Jumanji (1995),Adventure\n")
    out = tmp_path / "out"
    argv = ["ml-20m", "--from", str(archive), "--out", str(out), "--min-rating", "2"]
    assert run(script("movielens").FAMILIES, "MovieLens", argv) == 0
    shown = capsys.readouterr().out
    assert "citation: Harper and Konstan" in shown
    dataset = load_dataset(out)
    assert (dataset.name, len(dataset.interactions)) == ("ml-20m", 1)
    card = dataset.card
    assert card["files"] == {"ml-20m.zip": sha256_file(archive)}
    assert card["recipe"][0]["removed"]["interactions"] == 1
    assert card["facts"]["num_interactions"] == 1
    assert card["facts"]["text"]["by_group"]
    assert card["facts"]["fingerprint"] == dataset.fingerprint()


@pytest.mark.parametrize("archive", ["A.zip", "z.zip"])  # before and after the table in the order of names
def test_an_archive_may_lie_beside_its_unpacked_copy(tmp_path: Path, archive: str) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    path = table(folder)
    with zipfile.ZipFile(folder / archive, "w") as packed:
        packed.write(path, path.name)
    family = Family("toy", lambda files: read_tabular(files / path.name), "none", "none")
    dataset = load_dataset(prepare(family, folder, tmp_path / "out"))
    assert len(dataset.interactions) == 30
    assert set(dataset.card["files"]) == {archive, "items.csv", "ratings.csv"}


def pack(path: Path, *members: str) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name in members:
            packed.writestr(name, "user,item\nu,i\n")
    return path


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (
            ["ml-1m/a.csv"],
            ["ml-10m/a.csv"],
            r"there are 2 in 'a\.zip', 'b\.zip' \('ml-10m', 'ml-1m'\): give one",
        ),
        (["a.csv"], ["a.csv", "b.csv"], r"b\.zip' holds 'a\.csv', which is in .* already"),
        (["__MACOSX/._a.csv"], ["__MACOSX/._b.csv"], r"there is no file in 'a\.zip', 'b\.zip'"),
        (["README/a.csv"], None, r"README' lies beside an archive that holds a folder 'README'"),
    ],
)
def test_archives_that_are_no_one_data_set_are_refused(
    tmp_path: Path, first: list[str], second: list[str] | None, told: str
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    pack(folder / "a.zip", *first)
    if second is None:
        (folder / "README").write_text("read me")
    else:
        pack(folder / "b.zip", *second)
    with pytest.raises(DataError, match=told):
        prepare(
            Family("toy", lambda files: read_tabular(files / "a.csv"), "-", "-"), folder, tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_archives_may_each_hold_a_part(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    pack(folder / "a.zip", "set/ratings.csv", "__MACOSX/._ratings.csv")
    pack(folder / "b.zip", "set/items.csv", "__MACOSX/._items.csv")
    family = Family(
        "toy",
        lambda files: read_tabular(files / "ratings.csv", items=files / "items.csv", item_id="item"),
        "-",
        "-",
    )
    assert load_dataset(prepare(family, folder, tmp_path / "out")).items.columns.tolist() == [
        "item_id",
        "user",
    ]


def test_what_cannot_be_fetched_says_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(script("mind").FAMILIES, "MIND", ["--out", str(tmp_path / "out")]) == 2
    assert "error: 'mind' cannot be fetched by a script: accept the licence" in capsys.readouterr().err
    assert run(script("mind").FAMILIES, "MIND", ["--from", str(tmp_path / "none")]) == 2
    assert "there is nothing at" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("debian", "'debian' is a bundled data set"),
        ("", "'' is no name"),
        ("../x", "no name"),
        ("..", "no name"),
    ],
)
def test_a_name_that_could_not_be_read_again_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.setenv("GNNREC_DATA", str(tmp_path / "home"))
    path = table(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    family = Family(name, lambda _: read_tabular(path), "-", "-")
    with pytest.raises(DataError, match=told):
        prepare(family, path)
    assert sorted(tmp_path.rglob("*")) == before
    assert prepare(family, path, tmp_path / "out") == tmp_path / "out"


def test_your_own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path)
    argv = ["table.py", "mine", str(path), "--rating", "rating", "--timestamp", "timestamp"]
    argv += ["--items", str(tmp_path / "items.csv"), "--text", "name", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [*argv, "--deduplicate", "last", "--k-core", "2"])
    assert script("table").main() == 0
    dataset = load_dataset(tmp_path / "out")
    assert dataset.items["text"].tolist() == [f"Item {n}" for n in range(5)]
    assert dataset.interactions.unique
    assert dataset.card["files"] == {
        name: sha256_file(tmp_path / name) for name in ("ratings.csv", "items.csv")
    }
    monkeypatch.setattr(sys, "argv", [*argv, "--recipe", "{"])
    assert script("table").main() == 2


def test_files_of_one_name_are_all_listed(tmp_path: Path) -> None:
    path = table(tmp_path)
    other = tmp_path / "other" / path.name
    other.parent.mkdir()
    other.write_text("item\ni0\n")
    family = Family("toy", lambda _: read_tabular(path), "none", "none")
    dataset = load_dataset(prepare(family, path, tmp_path / "out", beside=[other]))
    assert dataset.card["files"] == {str(file): sha256_file(file) for file in (path, other)}


@pytest.mark.parametrize("kind", ["recbole", "lightgcn"])
def test_options_of_tables_are_refused_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    (tmp_path / "train.txt").write_text("0 1\n")
    argv = ["table.py", "mine", str(tmp_path), "--format", kind, "--item-id", "id", "--encoding", "latin-1"]
    monkeypatch.setattr(sys, "argv", argv)
    assert script("table").main() == 2
    assert f"--item-id, --encoding: only tables have such options, leave them out with --format {kind}" in (
        capsys.readouterr().err
    )
    monkeypatch.setattr(sys, "argv", [*argv[:5], "--from", str(tmp_path)])
    assert script("table").main() == 2
    assert "--from: this script reads the PATH given after NAME" in capsys.readouterr().err


def test_a_path_without_files_is_told_without_an_option_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for path, told in (("none.csv", "there is nothing at"), ("empty", "the folder")):
        monkeypatch.setattr(sys, "argv", ["table.py", "mine", str(tmp_path / path), "--out", str(tmp_path)])
        assert script("table").main() == 2
        error = capsys.readouterr().err
        assert f"{told} '{tmp_path / path}'" in error
        assert "--from" not in error


def test_recbole_files_may_be_called_otherwise_than_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setattr(sys, "argv", ["table.py", "b", str(folder), "--format", "recbole"])
    monkeypatch.setenv("GNNREC_DATA", str(tmp_path / "home"))
    for part in ("train", "test"):
        (folder / f"a.{part}.inter").write_text(f"user_id:token\titem_id:token\nu\t{part}\n")
    assert script("table").main() == 0  # the only one there
    assert load_dataset("b").items["item_id"].tolist() == ["test", "train"]
    (folder / "b.inter").write_text("user_id:token\titem_id:token\nu\tof b\n")
    assert script("table").main() == 0  # the one that is named
    assert load_dataset("b").items["item_id"].tolist() == ["of b"]
    (folder / "b.inter").rename(folder / "c.inter")
    assert script("table").main() == 2
    assert "the name of the data set must be that of its files" in capsys.readouterr().err


def test_nothing_is_written_when_reading_fails(tmp_path: Path) -> None:
    def read(folder: Path) -> Dataset:
        raise DataError("broken")

    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="broken"):
        prepare(Family("toy", read, "none", "none"), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_describe_prints_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    family = Family(
        "toy", lambda folder: read_tabular(folder / "ratings.csv", timestamp="timestamp"), "CC0", "nobody"
    )
    table(tmp_path)
    prepare(family, tmp_path, tmp_path / "out")
    capsys.readouterr()
    argv = ["describe.py", str(tmp_path / "out"), "--json", "--figures", str(tmp_path / "figures")]
    monkeypatch.setattr(sys, "argv", [*argv, "--split", "random", "--seed", "1"])
    assert script("describe").main() == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["num_users"] == 6
    assert facts["held_out"]["test"]["num_pairs"] > 0
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "degrees.png",
        "popularity.png",
        "time.png",
    }


def test_describe_knows_the_text_of_a_template_and_refuses_unknown_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["describe.py", "debian", "--json"])
    assert script("describe").main() == 0
    text = json.loads(capsys.readouterr().out)["text"]
    assert (text["columns"][:2], text["share_of_items"]) == (["item_id", "section"], 1.0)
    monkeypatch.setattr(sys, "argv", ["describe.py", "debian", "--figures", str(tmp_path)])
    assert script("describe").main() == 0
    assert (tmp_path / "text_coverage.png").exists()
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["describe.py", "debian", "--text", "sectoin"])
    assert script("describe").main() == 2
    assert "unknown text column 'sectoin'" in capsys.readouterr().err


def test_figures_of_text(planted: Dataset, tmp_path: Path) -> None:
    names = [path.name for path in draw_figures(planted, tmp_path)]
    assert names == ["degrees.png", "popularity.png", "time.png", "text_length.png", "text_coverage.png"]
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in names)
