"""Fusion: the weighted sum of several models' standardised scores, a trained graph model's embeddings among them."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gnnrec.baselines.face import fitted
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, DataError, check_choice, check_range, suggest
from gnnrec.files import sha256_file
from gnnrec.typed import TARGET

logger = logging.getLogger(__name__)
BLOCK = 1024  # users whose scores are held twice


class Fusion:
    """Add up the parts' scores after standardising each over all items: s(u, i) = sum_m w_m g_m(i) z_m(u, i).

    z_m = (s_m(u, i) - mean) / sd, mean and (population) standard deviation being those of the scores of part m for
    user u over all items: the z-score normalisation of CombSUM (Wu et al. 2006,
    https://doi.org/10.1145/1141753.1141808). A part that gives a user the same score for every item adds nothing for
    that user. g_m(i) = prior_m / (prior_m + c_i), c_i the train count of item i, where part m has a prior, else 1: a
    part that knows an item by its text speaks up where few interactions do. Weights and priors are settings, to be
    chosen on validation.

    Args:
        parts: name -> a baseline: anything with `fit(train, item_vectors, user_vectors)`. All see the same pairs.
        weights: name -> weight of each part, any finite number; a part of weight 0 is not fitted.
        priors: name -> the train count at which the part's weight on an item is half of `weights`; positive; parts
            without one weigh the same on every item.

    Memory: one [1024, num_items] block of scores beside the result, and what the parts keep.
    """

    name = "fusion"

    def __init__(
        self,
        parts: Mapping[str, Any],
        weights: Mapping[str, float],
        priors: Mapping[str, float] | None = None,
    ) -> None:
        if not isinstance(parts, Mapping) or not isinstance(weights, Mapping):
            raise ConfigError("'parts' and 'weights' must be mappings from one set of names in 'Fusion'")
        for part, model in parts.items():
            if not callable(getattr(model, "fit", None)):
                raise ConfigError(f"'parts.{part}' must be a baseline with 'fit' in 'Fusion' (got {model!r})")
            if part not in weights:
                raise ConfigError(f"'weights.{part}' is missing in 'Fusion'")
        for part, weight in weights.items():
            if part not in parts:
                raise ConfigError(f"unknown part 'weights.{part}' in 'Fusion'{suggest(part, parts)}")
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
                raise ConfigError(f"'weights.{part}' must be a finite number in 'Fusion' (got {weight!r})")
        for part, prior in (priors or {}).items():
            if part not in parts:
                raise ConfigError(f"unknown part 'priors.{part}' in 'Fusion'{suggest(part, parts)}")
            check_range(f"priors.{part}", prior, "Fusion", low=0, low_open=True)
        self.priors = dict(priors or {})
        self.weights = {part: float(weight) for part, weight in weights.items() if weight}
        if not self.weights:
            raise ConfigError("'weights' must have one that is not 0 in 'Fusion'")
        self.parts = dict(parts)
        self.fitted: dict[str, Any] = {}

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> Fusion:
        """Fit every part whose weight is not 0."""
        inputs = (train, item_vectors, user_vectors)
        self.fitted = {part: _fit(part, self.parts[part], inputs) for part in self.weights}
        count = torch.from_numpy(train.item_counts()).float()
        self.shares = {part: prior / (prior + count) for part, prior in self.priors.items()}
        return self

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        return torch.cat([self._block(block) for block in user.split(BLOCK)])

    def _block(self, user: Tensor) -> Tensor:
        total: Tensor | None = None
        for part, weight in self.weights.items():
            # A trained graph model answers on its own device, a baseline on that of the user ids.
            scores = standardise(self.fitted[part].scores(user).to(user.device)).mul_(weight)
            if part in self.shares:
                scores.mul_(self.shares[part].to(scores.device))
            total = scores if total is None else total.add_(scores)
        assert total is not None
        return total


class Fitted:
    """A part of a fusion that is fitted already: `fit` returns it as it is."""

    def __init__(self, scorer: Any) -> None:
        self.scorer = scorer

    def fit(self, *_: object) -> Any:
        """Return the scorer."""
        return self.scorer


@contextmanager
def kept_fits() -> Iterator[None]:
    """Inside, a fusion takes over the parts of the one before that have the same name, settings and data.

    For a search over weights, where fitting the parts anew for each trial would be most of the work. The last fit of
    each part is kept in memory until the end of the block.
    """
    global _kept
    _kept = {}
    try:
        yield
    finally:
        _kept = None


# name of a part -> (what was fitted on what, the fitted part)
_kept: dict[str, tuple[str, Any]] | None = None


def _fit(part: str, model: Any, inputs: tuple[Interactions, np.ndarray | None, np.ndarray | None]) -> Any:
    if _kept is None or isinstance(
        model, Fitted
    ):  # a trained model is not told by its settings, and is fitted
        return fitted(model, *inputs)
    train, *vectors = inputs
    prints = [
        None if v is None else hashlib.sha256(np.ascontiguousarray(v).data).hexdigest() for v in vectors
    ]
    identity = json.dumps([_settings(model), train.fingerprint(), *prints])
    if part in _kept and _kept[part][0] == identity:
        logger.info("part '%s' is fitted already", part)
        return _kept[part][1]
    _kept.pop(part, None)  # before the next fit, so that there is memory for one
    scorer = fitted(model, *inputs)
    _kept[part] = identity, scorer
    return scorer


def _settings(model: Any) -> Any:
    """Return what an unfitted baseline was built with, in a form that two builds of one setting share."""
    if isinstance(model, Mapping):
        return {name: _settings(value) for name, value in model.items()}
    if not hasattr(model, "__dict__"):
        return repr(model)
    return [type(model).__qualname__, {name: _settings(value) for name, value in vars(model).items()}]


def standardise(scores: Tensor) -> Tensor:
    """Return (s - mean) / sd of each row, sd over its columns without Bessel's correction; 0 for a constant row.

    A row counts as constant where its sd is below 1e-6 of its largest absolute score, the noise of float32.

    Shapes: [rows, columns] -> the same, float32, in new memory.
    """
    scores = scores.float()
    spread, mean = torch.std_mean(scores, dim=1, correction=0, keepdim=True)
    floor = 1e-6 * scores.abs().amax(dim=1, keepdim=True)
    return (scores - mean).mul_(torch.where(spread > floor, 1 / spread, 0.0))


class Embeddings:
    """A trained graph model as a part of a fusion: s(u, i) = user_emb_u . item_emb_i, read from its run directory.

    Args:
        runs: folder of a finished run, or several, for example one trained on train and one on train + validation.
            `fit` takes the first whose model was trained on exactly the pairs it is given, so that a weight chosen on
            validation and the final result each use embeddings that have not seen what they are judged on.
        protocol: that of the runs; embeddings selected on test (`legacy_test_selected`) must be asked for by name.
        split_fingerprint: of the split that the result is judged on, filled in by `run`. Another split can have the
            same train pairs, and its validation pairs, on which an epoch was chosen, can be test pairs of this one.

    Errors: ConfigError for a folder that is no finished run of a graph model; DataError where no run was trained on the
    given pairs of this split (another data set, split, split seed, or `eval.refit`), told by fingerprint.
    """

    name = "embeddings"

    def __init__(
        self, runs: str | Sequence[str], protocol: str = "honest", split_fingerprint: str | None = None
    ) -> None:
        check_choice("protocol", protocol, ("honest", "legacy_test_selected"), "Embeddings")
        self.protocol, self.split_fingerprint = protocol, split_fingerprint
        self.paths = [Path(run).expanduser() for run in ([runs] if isinstance(runs, str) else runs)]
        if not self.paths:
            raise ConfigError("'runs' must name at least one run directory in 'Embeddings' (got none)")
        for path in self.paths:
            for name, missing in (
                ("DONE", "finished run"),
                ("embeddings.safetensors", "run of a graph model"),
            ):
                if not (path / name).is_file():
                    raise ConfigError(
                        f"'runs' must name run directories in 'Embeddings': '{path}' is no {missing}"
                    )

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> Embeddings:
        """Read the embeddings that were trained on `train`; the vectors are not used."""
        wanted = train.fingerprint(), self.split_fingerprint
        found = {path: self._fingerprints(path) for path in self.paths}
        path = next((path for path, prints in found.items() if prints == wanted), None)
        if path is None:
            kept = ", ".join(f"'{path}': {_in_short(prints)}" for path, prints in found.items())
            raise DataError(
                f"no run of 'Embeddings' was trained on these {len(train)} pairs of this split "
                f"({_in_short(wanted)}; got {kept}): data set, split with its seed and options, protocol and "
                "eval.refit must be the same"
            )
        logger.info("embeddings of %s", path)
        try:
            tensors = load_file(path / "embeddings.safetensors")
            self.user_emb, self.item_emb = tensors["user_emb"].float(), tensors["item_emb"].float()
        except (SafetensorError, KeyError, OSError) as error:
            raise DataError(f"'{path / 'embeddings.safetensors'}' cannot be read ({error})") from error
        if len(self.user_emb) != train.num_users or len(self.item_emb) != train.num_items:
            raise DataError(
                f"'{path / 'embeddings.safetensors'}' has other numbers of users and items than train"
            )
        return self

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        return (self.user_emb[user.cpu()] @ self.item_emb.T).to(user.device)

    def _fingerprints(self, path: Path) -> tuple[str | None, str | None]:
        """Return the fingerprints of a run's final train pairs and of its split; None for one that was not kept."""
        kept = {}
        for name in ("manifest.json", "result.json"):
            try:
                kept |= json.loads((path / name).read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise DataError(f"'{path / name}' cannot be read ({error})") from error
        if kept.get("protocol") != self.protocol:
            raise DataError(
                f"'{path}' must be a run of protocol={self.protocol} in 'Embeddings' (got {kept.get('protocol')})"
            )
        prints = kept.get("fingerprints", {})
        return prints.get("train"), prints.get("split")


def by_content(setting: Any) -> Any:
    """Return the setting of a model with the checksums of their files for the runs that `Embeddings` in it reads."""
    if isinstance(setting, Mapping):
        changed = {key: by_content(value) for key, value in setting.items()}
        if _is_embeddings(setting) and "runs" in setting:
            runs = [setting["runs"]] if isinstance(setting["runs"], str) else setting["runs"]
            files = [Path(run).expanduser() / "embeddings.safetensors" for run in runs]
            changed["runs"] = [sha256_file(file) if file.is_file() else str(file) for file in files]
        return changed
    return [by_content(one) for one in setting] if isinstance(setting, list | tuple) else setting


def reads_a_run(setting: Any) -> bool:
    """Whether the setting of a baseline has `Embeddings` in it: it stands for a trained model, of one seed."""
    if isinstance(setting, Mapping):
        return _is_embeddings(setting) or any(map(reads_a_run, setting.values()))
    return isinstance(setting, list | tuple) and any(map(reads_a_run, setting))


def _is_embeddings(setting: Mapping[str, Any]) -> bool:
    return str(setting.get(TARGET)).rpartition(".")[2] == Embeddings.__name__


def _in_short(prints: tuple[str | None, str | None]) -> str:
    train, split = (str(fingerprint)[:12] for fingerprint in prints)
    return f"pairs {train} of split {split}"
