from __future__ import annotations

import json
from pathlib import Path

import pytest

from gnnrec.errors import DataError
from gnnrec.text.profiles import card_path, load_profiles, read_profiles


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_texts_come_in_the_order_of_the_ids(tmp_path: Path):
    path = write(
        tmp_path / "p.jsonl",
        {"id": 7, "text": "seven"},
        {"id": "x", "text": ["a", "b"]},
        {"id": 9, "text": ""},
    )
    assert load_profiles(path, ["x", 7, "absent"]) == ["a, b", "seven", ""]


def test_texts_made_from_another_split_are_an_error(tmp_path: Path):
    path = write(tmp_path / "p.jsonl", {"id": 1, "text": "one"})
    card_path(path).write_text(json.dumps({"split": "f" * 64}))
    assert load_profiles(path, [1], split="f" * 64) == ["one"]
    for split in (None, "e" * 64):
        with pytest.raises(DataError, match="written from the train part of split ffffffffffff"):
            load_profiles(path, [1], split=split)


def test_texts_of_another_side_or_data_set_are_an_error(tmp_path: Path):
    path = write(tmp_path / "p.jsonl", {"id": 1, "text": "one"})
    card = {"dataset": "films", "data_fingerprint": "a" * 64, "side": "item", "split": None}
    card_path(path).write_text(json.dumps(card))
    assert load_profiles(path, [1], None, "item", "a" * 64) == ["one"]
    assert load_profiles(path, [1]) == ["one"]
    with pytest.raises(DataError, match=r"holds texts of items, not of users: give the file of users"):
        load_profiles(path, [1], None, "user", "a" * 64)
    with pytest.raises(
        DataError, match=r"from data set 'films' \(aaaaaaaaaaaa\), not from this one \(bbbbbb"
    ):
        load_profiles(path, [1], None, "item", "b" * 64)


def test_what_is_missing_or_unknown_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write(tmp_path / "p.jsonl", {"id": 1, "text": "one"}, {"id": 2, "text": "two"})
    load_profiles(path, [1, 2])
    assert "has no card beside it: what its texts were made from is unknown" in caplog.text
    caplog.clear()
    card_path(path).write_text(json.dumps({"split": None}))
    load_profiles(path, [1, 2])
    assert not caplog.records
    load_profiles(path, [1, 3])
    assert "1 of 2 ids, 1 unknown ids left out" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": 1, "text": "a"}\n{"id": 2}\n', "line 2 .* 'id' and 'text'"),
        (
            '{"id": 1, "text": "a"}\n{"id": 2, "text": {"k": 1}}\n',
            "line 2 .* must be a text or a list of them",
        ),
        ('{"id": 1, "text": true}\n', "line 1 .* must be a text or a list of them"),
        ('{"id": 1, "text": "a"}\nnot json', "line 2"),
        ('{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}\n', "repeats the id '1'"),
        ("[1, 2]\n", "line 1"),
        ('{"id": 5, "text": "a"}\n', "no id in common"),
    ],
)
def test_broken_files_are_one_clear_error(content: str, message: str, tmp_path: Path):
    (tmp_path / "p.jsonl").write_text(content)
    with pytest.raises(DataError, match=message):
        load_profiles(tmp_path / "p.jsonl", [1, 2])


def test_a_last_line_that_was_cut_is_left_out_when_resuming(tmp_path: Path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": 1, "text": "a"}\n{"id": 2, "te')
    assert read_profiles(path, allow_cut=True) == {"1": "a"}
    path.write_bytes(b'{"id": 1, "text": "a"}\n{"id": 2, "text": "sch\xc3')  # within a character
    assert read_profiles(path, allow_cut=True) == {"1": "a"}
    with pytest.raises(DataError, match="line 2"):
        read_profiles(path)
    with pytest.raises(DataError, match="no file of generated texts"):
        load_profiles(tmp_path / "none.jsonl", [1])


def test_a_file_or_card_of_another_kind_is_one_clear_error(tmp_path: Path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"id": "a", "text": "\xff"}\n')
    with pytest.raises(DataError, match=r"line 1 .* in UTF-8"):
        load_profiles(path, ["a"])
    path.write_text('{"id": "a", "text": "x"}\n')
    for card in ("[]", '{"split": 3}'):
        (tmp_path / "p.jsonl.card.json").write_text(card)
        with pytest.raises(DataError, match=r"must (be an object whose 'split'|hold a JSON object)"):
            load_profiles(path, ["a"])
