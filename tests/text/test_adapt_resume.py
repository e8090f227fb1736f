from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gnnrec.errors import ConfigError, DataError, GnnrecError
from gnnrec.files import only_writer
from gnnrec.text import adapt as adapt_module
from gnnrec.text import adapt_loop
from gnnrec.text.adapt import adapt_model
from gnnrec.text.models import find_model
from tests.text.adapting import LORA, SPLIT, TEXTS, TRAIN, card_of, quick, weights_of


@pytest.mark.parametrize("changes", [{}, LORA, {"objective": "texts"}, {"objective": "mlm"}])
def test_an_interrupted_adaptation_resumes_to_the_same_bits(
    changes: dict, tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if "lora_rank" in changes:
        pytest.importorskip("peft", reason='needs pip install "gnnrec[adapt]"')
    config = quick(tiny_models["bert"], accumulation=2, **changes)
    whole = adapt_model(TEXTS, tmp_path / "whole", config, TRAIN, SPLIT)
    original = adapt_loop._step

    def interrupted(*arguments: object) -> float:
        if arguments[-1] == 7:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(adapt_loop, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        adapt_model(TEXTS, tmp_path / "resumed", config, TRAIN, SPLIT)
    assert not (tmp_path / "resumed").exists()
    steps: list[object] = []
    monkeypatch.setattr(adapt_loop, "_step", lambda *a: (steps.append(a[-1]), original(*a))[1])
    torch.rand(3)
    resumed = adapt_model(TEXTS, tmp_path / "resumed", config, TRAIN, SPLIT)
    assert steps == list(range(4, 12))
    for name, value in weights_of(whole).items():
        assert torch.equal(value, weights_of(resumed)[name]), name
    assert find_model(str(whole)).identity == find_model(str(resumed)).identity
    assert [one["held_out"] for one in card_of(whole)["losses"]] == [
        one["held_out"] for one in card_of(resumed)["losses"]
    ]


def test_finished_work_is_not_done_again_and_another_model_is_not_overwritten(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = quick(tiny_models["bert"], steps=2)
    folder = adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT)
    monkeypatch.setattr(adapt_module, "train_weights", None)
    assert adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT) == folder
    with pytest.raises(ConfigError, match="is there already and is another model"):
        adapt_model(TEXTS, tmp_path / "out", replace(config, lr=1e-3), TRAIN, SPLIT)


def test_two_processes_do_not_adapt_into_one_folder(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = quick(tiny_models["bert"], steps=2)
    with (
        only_writer(tmp_path / "out"),
        pytest.raises(DataError, match=r"another process is writing .*out': wait"),
    ):
        adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT)
    looks = iter([False, True])  # the other process ends between the first look and the lock
    monkeypatch.setattr(adapt_module, "_is_finished", lambda *_: next(looks))
    monkeypatch.setattr(adapt_module, "train_weights", None)
    assert adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT) == tmp_path / "out"


def test_what_a_killed_process_left_half_written_is_deleted(tiny_models: dict[str, Path], tmp_path: Path):
    (tmp_path / ".out.abcdefgh.part").mkdir()
    (tmp_path / ".out.abcdefgh.part" / "config.json").write_text("half")
    (tmp_path / ".out.checkpoint.safetensors.abcdefgh.part").write_text("half")
    (tmp_path / ".out.b.abcdefgh.part").mkdir()
    (tmp_path / "out.lock").write_text("")
    adapt_model(TEXTS, tmp_path / "out", quick(tiny_models["bert"], steps=2), TRAIN, SPLIT)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.b.abcdefgh.part", "out"]


@pytest.mark.parametrize("limit", [3000, 40_000])  # what is too large is the tokenizer, or the weights
def test_a_full_disk_is_one_clear_error(
    limit: int, tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    resource = pytest.importorskip("resource")  # not on Windows
    config = quick(tiny_models["bert"], steps=2)
    if limit == 3000:
        monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", lambda *_: None)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(
            GnnrecError, match=r"^cannot write '.*out': .*too large.*; nothing was left there$"
        ):
            adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_model_of_a_split_is_not_that_of_another_with_the_same_train_part(
    tiny_models: dict[str, Path], tmp_path: Path
):
    config = quick(tiny_models["bert"], steps=1)
    adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT)
    with pytest.raises(ConfigError, match="is there already and is another model"):
        adapt_model(TEXTS, tmp_path / "out", config, TRAIN, "6" * 64)
