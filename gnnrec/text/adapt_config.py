"""The settings of adapting a language model to a data set."""

from __future__ import annotations

from dataclasses import dataclass, fields

from gnnrec.errors import ConfigError, check_choice, check_range

OBJECTIVES = ("mlm", "texts", "pairs")
# Which objectives read a setting, where not all do.
_READ_BY = {
    "mask": ("mlm",),
    "temperature": ("texts", "pairs"),
    **dict.fromkeys(("deletion", "crop", "shuffle", "synonyms", "synonym_model"), ("texts",)),
}


@dataclass(frozen=True)
class AdaptConfig:
    """How a language model is adapted; checked when it is made.

    objective: 'mlm' continues masked-language modelling; 'texts' contrasts two augmented readings of one text
        (no interactions needed); 'pairs' contrasts texts of items that share interactions in train.
    steps: optimiser steps; each sees `accumulation` batches of `batch_size` texts.
    lr: peak learning rate; it rises linearly over the first `warmup` share of the steps and falls linearly to zero.
    lora_rank: rank of low-rank updates of every linear layer (needs peft); 0 trains the weights themselves. With
        'mlm' the model's folder must hold a head.
    freeze_embeddings: leave the table of word vectors as it is, so that words that only unseen texts have keep their
        place among the others.
    temperature: of the two contrastive objectives.
    mask: share of tokens to predict in 'mlm'.
    deletion: an augmentation of 'texts', as the next three: the probability that a token is deleted.
    crop: the share of tokens that are cut off; the random span between them stays.
    shuffle: the probability that a token takes part in a random exchange of places.
    synonyms: the probability that a token is replaced by what the masked language model `synonym_model` would put
        there. The model's own dropout acts as well.
    mix: share of what was learned that is kept, weights = before + mix (after - before): Wortsman et al. 2022
        (WiSE-FT), https://arxiv.org/abs/2109.01903, section 3. The texts of training are learned by heart, and unseen
        ones are then read in another way than these; below 1 both are read more alike. Choose it on validation.
    validation: share of the texts held out to measure the loss; the state with the lowest is kept.
    evaluate_every: steps between two measurements of that loss.
    checkpoint_every: steps between two checkpoints.
    """

    model: str = "minilm"
    revision: str | None = None
    objective: str = "pairs"
    steps: int = 150
    batch_size: int = 256
    accumulation: int = 1
    lr: float = 1e-4
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    lora_rank: int = 0
    lora_alpha: int = 32
    freeze_embeddings: bool = True
    temperature: float = 0.05
    mask: float = 0.15
    deletion: float = 0.1
    crop: float = 0.2
    shuffle: float = 0.0
    synonyms: float = 0.0
    synonym_model: str | None = None
    mix: float = 1.0
    max_length: int = 64
    validation: float = 0.1
    evaluate_every: int = 25
    checkpoint_every: int = 50
    dtype: str = "auto"
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.lora_rank and not self.freeze_embeddings:
            raise ConfigError(
                "'freeze_embeddings' must be true with 'lora_rank' in 'adapt': only linear layers get low-rank updates"
            )
        check_choice("objective", self.objective, OBJECTIVES, "adapt")
        check_choice("dtype", self.dtype, ("auto", "float32", "bfloat16"), "adapt")
        for name in ("steps", "accumulation", "evaluate_every", "checkpoint_every"):
            check_range(name, getattr(self, name), "adapt", low=1)
        # a pair is ranked among the others of its batch, and of two rows there is no other
        check_range("batch_size", self.batch_size, "adapt", low=4 if self.objective == "pairs" else 2)
        check_range("max_length", self.max_length, "adapt", low=4)
        check_range("lora_rank", self.lora_rank, "adapt", low=0)
        check_range("seed", self.seed, "adapt", low=0)
        check_range("weight_decay", self.weight_decay, "adapt", low=0)
        for name in ("lr", "clip", "temperature", "lora_alpha"):
            check_range(name, getattr(self, name), "adapt", low=0, low_open=True)
        check_range("warmup", self.warmup, "adapt", low=0, high=1)
        check_range("mix", self.mix, "adapt", low=0, high=1, low_open=True)
        for name in ("mask", "validation"):
            check_range(name, getattr(self, name), "adapt", low=0, high=1, low_open=True, high_open=True)
        for name in ("deletion", "crop", "shuffle", "synonyms"):
            check_range(name, getattr(self, name), "adapt", low=0, high=1, high_open=True)
        for field in fields(self):
            readers, value = _READ_BY.get(field.name, OBJECTIVES), getattr(self, field.name)
            if self.objective not in readers and value != field.default:
                raise ConfigError(
                    f"'{field.name}' in 'adapt' is read by 'objective' {' and '.join(readers)} alone (got {value} with "
                    f"{self.objective}): leave it at {field.default} or set 'objective' to {readers[-1]}"
                )


def learning_rate(config: AdaptConfig, step: int) -> float:
    """Return the learning rate of a step 0, 1, ...: linear warm-up, then linear decay to zero at the end."""
    warmup = round(config.warmup * config.steps)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    return config.lr * (config.steps - step) / max(1, config.steps - warmup)
