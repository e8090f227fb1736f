"""What decides the vector of a text."""

from __future__ import annotations

from dataclasses import dataclass

from gnnrec.errors import ConfigError, check_choice, check_range

POOLINGS = ("mean", "cls", "last", "eos")
DTYPES = ("auto", "float32", "bfloat16", "float16")
CONTROLS = ("none", "shuffled", "gaussian", "bag_of_words", "anonymized")
REDUCTIONS = (
    "none",
    "center",
    "standardize",
    "pca",
    "whiten_pca",
    "whiten_zca",
    "variance",
    "informed",
    "canonical",
    "contrastive",
    "random_projection",
)
# Which reductions read a setting, where not all do.
_READ_BY = {
    "reduce_dim": ("pca", "whiten_pca", "variance", "informed", "canonical", "random_projection"),
    "shrinkage": ("whiten_pca", "whiten_zca", "canonical", "contrastive"),
}


@dataclass(frozen=True)
class TextConfig:
    """How texts become vectors; checked when it is made.

    model: 'minilm', 'hash' (no model, no download), a model folder, or the name of a model in the hub cache.
    revision: the commit of a hub model; None takes what the hub cache calls 'main'.
    pooling: 'mean', 'cls', 'last' or 'eos'; None takes what the model's own files say.
    prompt: put before each text: a name from the model's own prompt file, else taken literally; None
        takes the model's default prompt, '' takes none.
    max_length: texts are cut to this many tokens.
    dtype: 'auto' is bfloat16 where the processor has it and it agrees with float32, else float32.
    batch_tokens: tokens in a batch, padding included.
    dim: keep the first `dim` dimensions (Matryoshka models); before normalisation.
    normalize: divide each vector by its length.
    control: 'none', or what tells meaning from capacity (see gnnrec.text.controls).
    reduce, reduce_dim, shrinkage: a reduction fitted on training rows (see gnnrec.text.reduce).
    item_vectors, user_vectors: a file of vectors made elsewhere, in place of texts (see gnnrec.text.vectors).
    item_profiles, user_profiles: a JSONL file of generated texts, in place of the data set's own (see
        gnnrec.text.profiles).
    seed: of the control, of the random projection and of the contrastive map.
    device: a torch device, or `auto`: that of the run; outside of one CUDA where there is one, else the processor.
    """

    model: str = "minilm"
    revision: str | None = None
    pooling: str | None = None
    prompt: str | None = None
    max_length: int = 128
    dtype: str = "auto"
    batch_tokens: int = 4096
    dim: int | None = None
    normalize: bool = True
    control: str = "none"
    reduce: str = "none"
    reduce_dim: int | None = None
    shrinkage: float = 0.0
    item_vectors: str | None = None
    user_vectors: str | None = None
    item_profiles: str | None = None
    user_profiles: str | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.pooling is not None:
            check_choice("pooling", self.pooling, POOLINGS, "text")
        check_choice("dtype", self.dtype, DTYPES, "text")
        check_choice("control", self.control, CONTROLS, "text")
        check_choice("reduce", self.reduce, REDUCTIONS, "text")
        check_range("max_length", self.max_length, "text", low=2)
        check_range("batch_tokens", self.batch_tokens, "text", low=self.max_length)
        check_range("shrinkage", self.shrinkage, "text", low=0, high=1)
        check_range("seed", self.seed, "text", low=0)
        for name in ("dim", "reduce_dim"):
            value = getattr(self, name)
            if value is not None:
                check_range(name, value, "text", low=1)
        for name, readers in _READ_BY.items():
            value = getattr(self, name)
            if value and self.reduce not in readers:
                raise ConfigError(
                    f"'{name}' in 'text' is read by 'reduce' {', '.join(readers)} alone (got {value} with "
                    f"{self.reduce}): leave '{name}' out or set another 'reduce'"
                )
