"""The typed configuration of one run: strict about keys and types, and the source of a run's identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gnnrec.baselines.face import check_fits
from gnnrec.baselines.fusion import Fitted, Fusion, by_content
from gnnrec.encoders.states import check_face
from gnnrec.errors import ConfigError, DataError, check_choice, check_range
from gnnrec.evaluation.metrics import ALL_METRICS, METRICS, MOST_K
from gnnrec.features import InitConfig
from gnnrec.objectives import check_encoder
from gnnrec.protocol import PROTOCOLS
from gnnrec.text import TextConfig
from gnnrec.text.encoder import model_identity
from gnnrec.text.vectors import vectors_sha256
from gnnrec.tracking import TrackingConfig
from gnnrec.training import TrainConfig
from gnnrec.typed import TARGET, as_mappings, build, read


@dataclass(frozen=True)
class DatasetConfig:
    """Which data: the name of a bundled data set or one below the data home, or the path of a folder."""

    name: str = "debian"


@dataclass(frozen=True)
class SplitConfig:
    """How it is split: a name of `gnnrec.data.splits.make_split`, the split's own seed, and its options."""

    name: str = "random"
    seed: int = 0
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_range("seed", self.seed, "split", low=0)


@dataclass(frozen=True)
class ModelConfig:
    """What is trained: either `baseline`, or a composition of encoder, objective and augmentations.

    Args:
        name: label of tables and dashboards.
        baseline: class path and arguments of a class with fit(train, item_vectors, user_vectors).
        needs_text: whether a baseline, or encoders and augmentations (as `View.item_text`), are given the text
            vectors of the items, whatever the init mode.
        encoder: class path and arguments of a function of a View; `dim` is filled in from init.dim.
        objective: name -> {weight, term: class path and arguments}.
        augmentations: class paths and arguments, applied to the main view of every step.
        score: `dot` or `cosine`.
        fusion: `parts` (name -> a baseline), `weights` and perhaps `priors` of a Fusion with the trained model, its
            part `graph`.
    """

    name: str = "lightgcn"
    baseline: dict[str, Any] | None = None
    needs_text: bool = False
    encoder: dict[str, Any] | None = None
    objective: dict[str, Any] = field(default_factory=dict)
    augmentations: tuple[Any, ...] = ()
    score: str = "dot"
    fusion: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.baseline is None) == (self.encoder is None):
            raise ConfigError("'model' must have exactly one of 'baseline' and 'encoder'")
        if self.encoder is not None and not self.objective:
            raise ConfigError("'model.objective' must have at least one term (got none)")
        if self.baseline is not None and (self.objective or self.augmentations):
            unread = "objective" if self.objective else "augmentations"
            raise ConfigError(
                f"'model.{unread}' is read by a model with an encoder, and this one is a baseline "
                f"({self.baseline.get(TARGET)}): leave it out, and 'experiment' with it if that sets it"
            )
        keys = {"parts", "weights"}
        if self.fusion is not None and (self.encoder is None or set(self.fusion) - {"priors"} != keys):
            raise ConfigError(
                "'model.fusion' must have the keys 'parts' and 'weights', may have 'priors', and needs an 'encoder'"
            )

    def fused(self, trained: Any, split_fingerprint: str | None = None) -> Any:
        """Return the trained model, or the Fusion of it with `fusion.parts`, not yet fitted, for this split."""
        if self.fusion is None:
            return trained
        parts = {
            name: build(part, f"model.fusion.parts.{name}", split_fingerprint=split_fingerprint)
            for name, part in self.fusion["parts"].items()
        }
        return Fusion({"graph": Fitted(trained), **parts}, self.fusion["weights"], self.fusion.get("priors"))


@dataclass(frozen=True)
class EvalConfig:
    """What is measured.

    Args:
        ks: cutoffs. metrics: per-user metrics. seed: of the order of equal scores.
        item_rule, head, tail: the item groups (see gnnrec.data.groups.item_groups); None takes the rule's own.
        num_user_groups: quantiles of user activity.
        refit: train again on train + validation for the chosen number of epochs before the test.
    """

    ks: tuple[int, ...] = (10, 20, 50)
    metrics: tuple[str, ...] = ("recall", "ndcg", "precision", "hitrate", "mrr")
    seed: int = 0
    item_rule: str = "quantile"
    head: float | None = None
    tail: float | None = None
    num_user_groups: int = 4
    refit: bool = False

    def __post_init__(self) -> None:
        check_range("seed", self.seed, "eval", low=0)
        check_range("num_user_groups", self.num_user_groups, "eval", low=1)
        if not self.ks:
            raise ConfigError("'ks' must have at least one cutoff in 'eval' (got none)")
        for k in self.ks:
            check_range("ks", k, "eval", low=1, high=MOST_K)
        if not self.metrics:
            raise ConfigError("'metrics' must have at least one metric in 'eval' (got none)")
        for metric in self.metrics:
            check_choice("metric", metric, ALL_METRICS, "eval")


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's numbers, and where it runs and is kept (`device`, `tracking`)."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    text: TextConfig = field(default_factory=TextConfig)
    init: InitConfig = field(default_factory=InitConfig)
    model: ModelConfig = field(
        default_factory=lambda: ModelConfig(baseline={TARGET: "gnnrec.baselines.Popularity"})
    )
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    seed: int = 0
    device: str = "cpu"
    protocol: str = "honest"

    def __post_init__(self) -> None:
        check_range("seed", self.seed, "run", low=0)
        check_choice("protocol", self.protocol, PROTOCOLS, "run")
        metric, _, cutoff = self.train.select.partition("@")
        if not cutoff.isdecimal() or cutoff != str(int(cutoff)) or cutoff == "0":
            raise ConfigError(f"'train.select' must be metric@k, as in ndcg@20 (got '{self.train.select}')")
        check_choice("metric", metric, METRICS, "train.select")
        check_range("select", int(cutoff), "train", low=1, high=MOST_K)
        if self.protocol != "honest" and self.eval.refit:
            raise ConfigError(
                "'eval.refit' needs protocol=honest: a legacy run has no validation part to add"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """Read a configuration from nested dictionaries; unknown keys and wrong types are ConfigErrors."""
        config = read(cls, values)
        config.build_model_parts()
        return config

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested dictionaries and lists, from which `from_dict` gives an equal configuration."""
        return as_mappings(self)

    def needs_text(self) -> tuple[bool, bool]:
        """Return whether item vectors and user vectors are used, by the features or by a term that asks for them."""
        model, init = self.model, self.init
        if model.baseline is not None:
            return model.needs_text, False
        parts = model.objective.items()
        terms = [t for k, part in parts for t in chain(build(part["term"], f"model.objective.{k}.term"))]
        return (
            model.needs_text
            or init.needs_item_text
            or any(getattr(term, "needs_item_text", False) for term in terms),
            init.needs_user_text or any(getattr(term, "needs_user_text", False) for term in terms),
        )

    def key(self, data_fingerprint: str, templates: Any = None) -> str:
        """Return the run's identity: a hash of all that decides its numbers and of the data, 16 hex digits.

        templates: what the data set's card says of how texts are made, which only runs that read texts depend on.
        """
        values = self.to_dict()
        values.pop("tracking")
        values.pop("device")
        values["train"].pop("checkpoint_seconds")
        values["text"].pop("device")
        values["text"].pop("batch_tokens")
        for name in ("item_vectors", "user_vectors", "item_profiles", "user_profiles"):
            values["text"][name] = _content(values["text"][name])
        for block in [*values["init"]["item_blocks"].values(), *values["init"]["user_blocks"].values()]:
            block["path"] = _content(block["path"])
            if {"model", "revision"} & block["text"].keys():
                block["text"]["model"] = _model_content(replace(self.text, **block["text"]))
        values["model"] = by_content(values["model"])
        if self.model.baseline is not None:
            values.pop("train")
            values.pop("init")
            values["seed"] = 0  # its own arguments say what it draws: one run stands for all seeds
        if any(self.needs_text()):
            values["text"] |= {"model": _model_content(self.text), "templates": templates}
        else:
            values.pop("text")
        text = json.dumps([values, data_fingerprint], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def build_model_parts(self) -> None:
        """Build everything that `model` names once, so that a mistake is told before any work is done."""
        model = self.model
        if model.baseline is not None:
            check_fits(build(model.baseline, "model.baseline"))
        encoder = None
        if model.encoder is not None:
            encoder = build(model.encoder, "model.encoder", dim=self.init.dim)
            check_face(encoder)
        model.fused(None)
        for index, part in enumerate(model.augmentations):
            if not callable(build(part, f"model.augmentations[{index}]")):
                raise ConfigError(
                    f"the class of 'model.augmentations[{index}]' must have __call__(self, view, generator)"
                )
        for name, part in model.objective.items():
            if not isinstance(part, Mapping) or not {"term"} <= set(part) <= {"term", "weight"}:
                raise ConfigError(
                    f"'model.objective.{name}' must have the keys 'term' and 'weight' (got {part!r})"
                )
            if name == "total":
                raise ConfigError(
                    "a term cannot be called 'total' in 'model.objective': that is the sum of all"
                )
            term = build(part["term"], f"model.objective.{name}.term")
            if encoder is not None:
                check_encoder(term, encoder, self.init.dim)
            if not callable(term):
                raise ConfigError(
                    f"the class of 'model.objective.{name}.term' must have __call__(self, step)"
                )
            check_range("weight", part.get("weight", 1.0), f"model.objective.{name}", low=0)
        self._check_blocks()
        if self.init.combine != "sum" and not self.init.combines:
            raise ConfigError(
                "'init.combine' has no say where a node has one part alone: it needs an id beside the text "
                f"(mode=id_text, users=id_text or id_profile) or a second block (got {self.init.combine}): leave it "
                "at sum"
            )

    def _check_blocks(self) -> None:
        """Raise a ConfigError where blocks are given that nothing would read, or two things for one place."""
        sides = (("item_blocks", "mode"), ("user_blocks", "users"))
        for (name, mode), used in zip(sides, self.needs_text(), strict=True):
            if not getattr(self.init, name):
                continue
            if self.model.baseline is not None:
                raise ConfigError(f"a baseline reads one 'text', not 'init.{name}': leave it out")
            if not used:
                raise ConfigError(
                    f"nothing reads 'init.{name}': choose an 'init.{mode}' with text "
                    f"(got {mode}={getattr(self.init, mode)})"
                )
            side = name.split("_")[0]
            for key in (f"{side}_vectors", f"{side}_profiles"):
                if getattr(self.text, key):
                    raise ConfigError(f"'init.{name}' stands in place of 'text.{key}': leave one of them out")


def chain(term: Any) -> Iterator[Any]:
    """Yield an objective's term, the term inside it, if it wraps one, and so on."""
    while term is not None:
        yield term
        term = getattr(term, "term", None)


def _content(path: str | None) -> str | None:
    """Return the checksum of a file: what is in it decides a run's numbers, where it lies does not."""
    if path is None or not Path(path).expanduser().is_file():
        return path  # told when the vectors are loaded
    return vectors_sha256(path)


def _model_content(text: TextConfig) -> str:
    """Return the identity of a language model's files, which decide a run's numbers, where they lie does not."""
    try:
        return model_identity(text)
    except DataError:
        return text.model  # told when it is loaded
