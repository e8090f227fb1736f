"""data_scripts/profiles.py, with a language model of random weights: what it writes, and what it may see."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data_scripts import profiles
from gnnrec.data.dataset import Dataset, load_dataset
from gnnrec.data.interactions import Interactions
from gnnrec.data.native import write_native
from gnnrec.data.splits import make_split
from gnnrec.errors import ConfigError, DataError
from gnnrec.files import only_writer
from gnnrec.text.config import TextConfig
from gnnrec.text.generate import Generator
from gnnrec.text.models import find_model
from gnnrec.text.nodes import node_texts
from gnnrec.text.profiles import card_path, load_profiles
from gnnrec.text.transformer import position_limit


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    words = [
        "[PAD]",
        "[UNK]",
        "[EOS]",
        *["user", "item", "took", "vim", "red", "ink", "what", "is", "this", "kind", "a", "the", "and", "of"],
    ]
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", eos_token="[EOS]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(
        LlamaConfig(vocab_size=len(words), **sizes, pad_token_id=0, eos_token_id=2, bos_token_id=None)
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    user = np.repeat(np.arange(6), 5)
    item = (user * 3 + np.tile(np.arange(5), 6)) % 12
    items = pd.DataFrame(
        {"item_id": [f"i{n}" for n in range(12)], "text": [f"red ink kind{n}" for n in range(11)] + [""]}
    )
    users = pd.DataFrame({"user_id": [f"u{n}" for n in range(6)]})
    write_native(Dataset("tiny", Interactions(user, item, 6, 12), users, items), tmp_path / "tiny")
    return tmp_path / "tiny"


def run(dataset: Path, model: Path, output: Path, *more: str) -> int:
    fixed = ["--model", str(model), "--output", str(output), "--max-new-tokens", "4", "--batch-size", "3"]
    return profiles.main([str(dataset), *fixed, *more])


def test_items_get_a_text_each_and_the_rest_comes_when_started_again(
    dataset: Path, model: Path, tmp_path: Path
):
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    assert run(dataset, model, whole, "--side", "item") == 0
    ids = load_dataset(dataset).items["item_id"].tolist()
    texts = load_profiles(whole, ids)
    assert all(texts[:11])
    assert texts[11] == ""
    assert run(dataset, model, parts, "--side", "item", "--limit", "4") == 0
    with parts.open("a") as stream:
        stream.write('{"id": "i5", "te')
    assert run(dataset, model, parts, "--side", "item") == 0
    assert parts.read_text() == whole.read_text()
    assert json.loads(card_path(whole).read_text())["split"] is None


def test_two_processes_do_not_write_one_file(dataset: Path, model: Path, tmp_path: Path):
    output = tmp_path / "new" / "items.jsonl"
    with only_writer(output):
        message = rf"^another process is writing '{output}': wait for it to end, then run again$"
        with pytest.raises(DataError, match=message):
            profiles.write_profiles(output, {"i0": "red"}, None, 1, {})  # type: ignore[arg-type]
        assert [path.name for path in output.parent.iterdir()] == ["items.jsonl.lock"]
    assert run(dataset, model, output, "--side", "item", "--limit", "1") == 0
    assert sorted(path.name for path in output.parent.iterdir()) == ["items.jsonl", "items.jsonl.card.json"]


def test_padding_does_not_change_an_answer(dataset: Path, model: Path, tmp_path: Path):
    assert run(dataset, model, tmp_path / "a.jsonl", "--side", "item") == 0
    assert run(dataset, model, tmp_path / "b.jsonl", "--side", "item", "--batch-size", "1") == 0
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()


def test_users_are_described_from_train_alone_and_tied_to_the_split(
    dataset: Path, model: Path, tmp_path: Path
):
    data = load_dataset(dataset)
    split = make_split(data, "random", 3)
    prompts = profiles.user_prompts(data.items["text"].tolist(), split.train, "{items}", 20, 100, 3)
    for user, prompt in prompts.items():
        train = set(split.train.item[split.train.user == user].tolist()) - {11}
        assert {int(line.removeprefix("- red ink kind")) for line in prompt.split("\n")} == train
    output = tmp_path / "users.jsonl"
    assert run(dataset, model, output, "--side", "user", "--split", "random", "--split-seed", "3") == 0
    assert json.loads(card_path(output).read_text())["split"] == split.fingerprint
    ids = data.users["user_id"].tolist()
    assert all(load_profiles(output, ids, split.fingerprint))
    assert run(dataset, model, output, "--side", "user", "--split", "random", "--split-seed", "4") == 2


def test_the_card_ties_texts_to_their_side_and_data_set(dataset: Path, model: Path, tmp_path: Path):
    data, output = load_dataset(dataset), tmp_path / "items.jsonl"
    assert run(dataset, model, output, "--side", "item") == 0
    config = TextConfig(item_profiles=str(output), user_profiles=str(output))
    assert all(node_texts(data, "item", config)[:11])
    with pytest.raises(DataError, match="holds texts of items, not of users"):
        node_texts(data, "user", config)
    with pytest.raises(DataError, match="was written from data set 'tiny'"):
        node_texts(replace(data, items=data.items.assign(text="other")), "item", config)


def test_what_a_model_of_a_split_writes_is_tied_to_the_split(dataset: Path, model: Path, tmp_path: Path):
    split = make_split(load_dataset(dataset), "random", 3)
    model = Path(shutil.copytree(model, tmp_path / "adapted"))
    (model / "gnnrec.json").write_text(json.dumps({"split": split.fingerprint}))
    output = tmp_path / "items.jsonl"
    assert run(dataset, model, output, "--side", "item") == 0
    assert json.loads(card_path(output).read_text())["split"] == split.fingerprint
    user = ["--side", "user", "--split", "random", "--split-seed"]
    assert run(dataset, model, tmp_path / "same.jsonl", *user, "3") == 0
    assert run(dataset, model, tmp_path / "other.jsonl", *user, "4") == 2


def test_a_file_holds_profiles_of_one_kind(
    dataset: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output, user = tmp_path / "users.jsonl", ["--side", "user", "--split", "random", "--limit", "2"]
    assert run(dataset, model, output, *user, "--max-items", "1") == 0
    assert run(dataset, model, output, *user, "--max-items", "2") == 2
    assert "was begun with another max_items: delete it" in capsys.readouterr().err


def test_prompts_are_cut_to_what_the_model_takes(model: Path):
    generator = Generator(find_model(str(model)), max_new_tokens=4, max_prompt_tokens=10**6)
    room = position_limit(generator.tokenizer, generator.model)
    assert generator.max_prompt_tokens == room - 4
    assert len(generator.answer(["red " * 2 * room])) == 1
    with pytest.raises(ConfigError, match=f"'max_new_tokens' must be below the {room} tokens"):
        Generator(find_model(str(model)), max_new_tokens=room)


def test_a_chat_keeps_its_template_where_a_prompt_is_cut(
    dataset: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = Path(shutil.copytree(model, tmp_path / "chat"))
    template = "{% for m in messages %}[EOS] {{ m.role }} {{ m.content }} [EOS]{% endfor %} item"
    (model / "chat_template.jinja").write_text(template)
    generator, seen = Generator(find_model(str(model)), max_new_tokens=4, max_prompt_tokens=16), []
    generate = generator.model.generate

    def spied(**options: Any) -> torch.Tensor:
        seen.extend(generator.tokenizer.batch_decode(options["input_ids"]))
        return generate(**options)

    generator.model.generate = spied
    generator.answer(["the kind of " + "red ink " * 40 + "what is this", "vim"])
    assert seen[0].startswith("[EOS] user ")
    assert seen[0].endswith(" red ink red ink what is this [EOS] item")
    assert 14 <= len(seen[0].split()) <= 16
    assert seen[1].endswith("[PAD] [EOS] user vim [EOS] item")
    assert generator.num_cut == 1
    with pytest.raises(
        ConfigError, match=r"'max_prompt_tokens' must be above the 4 tokens that .* \(got 4, at most"
    ):
        Generator(find_model(str(model)), max_new_tokens=4, max_prompt_tokens=4)
    more = ["--side", "item", "--max-prompt-tokens", "16"]
    assert run(dataset, model, tmp_path / "o.jsonl", *more) == 0
    assert "warning: 11 prompts lost their beginning, for only 16 tokens are read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "template",
    ["{{ raise_exception('no user') }}", "{% for m in messages %}", "{{ messages[7].content.x.y }}"],
)
def test_a_chat_template_that_fails_is_one_line(
    template: str, dataset: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = Path(shutil.copytree(model, tmp_path / "chat"))
    (model / "chat_template.jinja").write_text(template)
    assert run(dataset, model, tmp_path / "o.jsonl", "--side", "item") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the chat template of ")
    assert error.count("\n") == 1


def test_halves_of_characters_are_asked_as_question_marks(model: Path):
    generator = Generator(find_model(str(model)), max_new_tokens=4)
    assert generator.answer(["the red \ud83d"]) == generator.answer(["the red ?"])


def test_a_model_that_encodes_writes_nothing(model: Path, tmp_path: Path):
    folder = Path(shutil.copytree(model, tmp_path / "bert"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(ConfigError, match="is made to encode, not to write"):
        Generator(find_model(str(folder)))


def test_long_histories_are_sampled_and_cut():
    train = Interactions(np.zeros(30, int), np.arange(30), 1, 30)
    texts = [f"{n:02d} " + "x" * 50 for n in range(30)]
    (prompt,) = profiles.user_prompts(texts, train, "{items}", 7, 5, 0).values()
    lines = prompt.split("\n")
    assert len(set(lines)) == 7
    assert all(len(line) == 7 for line in lines)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--side", "user"], "give --split"),
        (["--side", "user", "--split", "randon"], "did you mean 'random'"),
        (["--side", "item", "--model", "/no/model"], "is not a folder"),
        (["--side", "user", "--split", "random", "--split-params", "{"], "error:"),
        (["--side", "user", "--split", "random", "--split-params", "[1]"], "must be a JSON object (got [1])"),
        (["--side", "item", "--batch-size", "0"], "'batch_size' must be in [1, inf)"),
        (["--side", "item", "--limit", "-1"], "'limit' must be in [1, inf)"),
        (["--side", "item", "--device", "nonsense"], "device=nonsense cannot be used"),
    ],
)
def test_bad_options_are_one_line(
    more: list[str],
    message: str,
    dataset: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    assert run(dataset, model, tmp_path / "o.jsonl", *more) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_a_prompt_without_its_field_is_an_error(
    dataset: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "p.txt").write_text("what is {items}?")
    assert (
        run(dataset, model, tmp_path / "o.jsonl", "--side", "item", "--prompt", str(tmp_path / "p.txt")) == 2
    )
    assert "must hold {text}" in capsys.readouterr().err
    (tmp_path / "p.txt").write_bytes(b"\xff {text}")
    assert (
        run(dataset, model, tmp_path / "o.jsonl", "--side", "item", "--prompt", str(tmp_path / "p.txt")) == 2
    )
    assert "is not UTF-8" in capsys.readouterr().err
