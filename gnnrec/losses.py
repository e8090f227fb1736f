"""Losses: pure functions on tensors. Each states its reduction and how a paper's constants convert.

Where a loss takes `weight` [batch], each train pair's part of the mean, its negatives included, is multiplied by it;
the mean still divides by the number of pairs. Where one takes `precision`, bfloat16 rounds the vectors that are
multiplied (see products.cross_entropy).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.products import Coordinates, cross_entropy, pair_potential
from gnnrec.unit import unit


def mean(loss: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of all entries, the rows multiplied by `weight` first: loss [batch, ...], weight [batch] -> scalar."""
    if weight is None:
        return loss.mean()
    return (loss * weight.view(-1, *[1] * (loss.dim() - 1))).mean()


def bpr(positive: Tensor, negative: Tensor, weight: Tensor | None = None) -> Tensor:
    """Pairwise ranking loss, mean over pairs: -log sigmoid(positive - negative).

    Rendle et al. 2009, https://arxiv.org/abs/1205.2618, section 4.1 (BPR-Opt without its regulariser, see `l2`).

    Shapes: positive [batch], negative [batch] or [batch, num_negatives] -> scalar.
    """
    if negative.dim() == 2:
        positive = positive.unsqueeze(1)
    return mean(F.softplus(negative - positive), weight)


def softmax_loss(
    positive: Tensor,
    queries: Tensor,
    keys: Tensor,
    shift: Tensor | None = None,
    left_out: Coordinates | None = None,
    weight: Tensor | None = None,
    power: float = 1.0,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """Sampled softmax, mean over the batch: -log(exp(p_i) / (exp(p_i) + sum_j exp(q_i . k_j + shift_j))^power).

    Bengio and Senecal 2008, https://doi.org/10.1109/TNN.2007.912312. The negatives k are shared by the batch;
    corrections for how they were drawn (subtract the log of the expected count) go into `shift`, the temperature into
    the logits. `left_out` lists (row, key) pairs that do not count, for example known positives of a user. A `power`
    other than 1 is the bilateral softmax of Wu et al. 2024, https://arxiv.org/abs/2312.12882, as its authors' code
    writes it, but for the positive in the denominator, which theirs lacks.

    Shapes: positive [batch], queries [batch, dim], keys [num_negatives, dim], shift [num_negatives] -> scalar.
    """
    return cross_entropy(positive, queries, keys, shift, left_out, weight, power, precision)


def bce(positive: Tensor, negative: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy on logits, mean over all pairs: -log sigmoid(p) and -log(1 - sigmoid(n)).

    He et al. 2017, https://arxiv.org/abs/1708.05031, eq. 7 (a sum there; the mean over positives and negatives here).

    Shapes: positive [batch], negative [batch, num_negatives] -> scalar.
    """
    if weight is None:
        return torch.cat([F.softplus(-positive), F.softplus(negative).flatten()]).mean()
    return mean(torch.cat([F.softplus(-positive).unsqueeze(1), F.softplus(negative)], dim=1), weight)


def cosine_contrastive(
    positive: Tensor,
    negative: Tensor,
    margin: float,
    negative_weight: float,
    weight: Tensor | None = None,
) -> Tensor:
    """Mean over the batch of (1 - p) + negative_weight * mean_n max(0, n - margin), on cosine scores.

    Mao et al. 2021, SimpleX, https://arxiv.org/abs/2109.12613, eq. 1.

    Shapes: positive [batch], negative [batch, num_negatives] -> scalar.
    """
    return mean(1 - positive + negative_weight * F.relu(negative - margin).mean(dim=1), weight)


def bilateral_softmax(
    positive: Tensor,
    negative: Tensor,
    positive_temperature: float,
    negative_temperature: float,
    weight: Tensor | None = None,
) -> Tensor:
    """BSL: mean over the batch of -p / t1 + (t2 / t1) * log mean_n exp(n / t2), on cosine scores.

    Wu et al. 2024, https://arxiv.org/abs/2312.12882, eq. 15, with the positive's own log-mean-exp taken over the
    single train pair of a row, where it reduces to p / t1. There t1 merely scales: up to a constant this is t2 / t1
    times the sampled softmax at t2 without the positive in the denominator. The authors' code has the form that
    `power` gives softmax_loss.

    Shapes: positive [batch], negative [batch, num_negatives] -> scalar.
    """
    pooled = torch.logsumexp(negative / negative_temperature, dim=1) - math.log(negative.shape[1])
    return mean(negative_temperature * pooled - positive, weight) / positive_temperature


def info_nce(
    first: Tensor,
    second: Tensor,
    temperature: float = 0.2,
    weight: Tensor | None = None,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """Contrast two views of the same rows, mean over rows: -log(exp(s_ii / t) / sum_j exp(s_ij / t)), s cosine.

    van den Oord et al. 2018, https://arxiv.org/abs/1807.03748, eq. 4, in the form of SGL
    (https://arxiv.org/abs/2010.10783, eq. 10): negatives are the rows of `second` only. SGL sums over the batch,
    in the paper and in the authors' code, and SimGCL in the paper alone; a weight for the sum is ours divided by the
    batch size.

    Shapes: first, second [rows, dim], weight [rows] -> scalar.
    """
    first, second = unit(first) / temperature, unit(second)
    itself = torch.arange(len(first), device=first.device)
    positive = (first * second).sum(dim=-1)
    return cross_entropy(positive, first, second, None, (itself, itself), weight, precision=precision)


def grace(
    first: Tensor,
    second: Tensor,
    temperature: float = 0.2,
    weight: Tensor | None = None,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """GRACE's contrast of two views: the mean over rows and both directions of
    -log(exp(s_ii / t) / (sum_j exp(s_ij / t) + sum_{j != i} exp(s'_ij / t))), s' being cosines inside the own view.

    Zhu et al. 2020, https://arxiv.org/abs/2006.04131, eq. 1 and 2.

    Shapes: first, second [rows, dim], weight [rows] -> scalar.
    """
    first, second = unit(first), unit(second)
    # In [other, own] the other view's own row is the positive, and the row itself is none of its negatives.
    row = torch.arange(len(first), device=first.device).repeat_interleave(2)
    key = row + len(first) * torch.arange(2, device=first.device).repeat(len(first))

    def one_way(own: Tensor, other: Tensor) -> Tensor:
        scaled = own / temperature
        positive = (scaled * other).sum(dim=-1)
        keys = torch.cat([other, own])
        return cross_entropy(positive, scaled, keys, None, (row, key), weight, precision=precision)

    return (one_way(first, second) + one_way(second, first)) / 2


def pop_dcl(
    positive: Tensor,
    negative: Tensor,
    share: Tensor,
    odds: Tensor,
    temperature: float,
    weight: Tensor | None = None,
) -> Tensor:
    """PopDCL: softmax on cosines f, positives and negatives corrected by popularity, mean over the batch.

    -log(exp((p - M+) / t) / (exp((p - M+) / t) + sum_j exp((n_j - M-_j) / t))),
    M+ = sigmoid(share mean_j n_j),  M-_j = odds exp((p - n_j) / t).
    Liu et al. 2023, https://doi.org/10.1145/3583780.3615009, eq. 1, 5, 6 and 10. `share` and `odds` come with the term.

    Shapes: positive, share, odds [batch], negative [batch, num_negatives] -> scalar.
    """
    positive_shift = torch.sigmoid(share * negative.sum(dim=1) / max(negative.shape[1], 1))
    # exp(80) is within float32; such a negative counts for nothing in any case,
    gap = ((positive.unsqueeze(1) - negative) / temperature).clamp(max=80)
    # and the least number keeps a row of nothing but such ones from infinity, whose gradient is NaN
    logits = ((negative - odds.unsqueeze(1) * gap.exp()) / temperature).clamp(min=-1e30)
    return mean(F.softplus(logits.logsumexp(dim=1) - (positive - positive_shift) / temperature), weight)


def alignment(first: Tensor, second: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared distance of matching unit rows: mean ||f - s||^2.

    Wang and Isola 2020, https://arxiv.org/abs/2005.10242, section 4.1.2; Wang et al. 2022, DirectAU,
    https://arxiv.org/abs/2206.12811, eq. 7.

    Shapes: first, second [rows, dim] -> scalar.
    """
    return mean((unit(first) - unit(second)).square().sum(dim=1), weight)


def uniformity(x: Tensor) -> Tensor:
    """Log of the mean Gaussian potential of distinct pairs of unit rows: log mean_{i<j} exp(-2 ||x_i - x_j||^2).

    Wang and Isola 2020, https://arxiv.org/abs/2005.10242, section 4.1.2, with t = 2. A single row (the rest of an epoch
    in batches) has no pair and gives 0.

    Shapes: x [rows, dim] -> scalar.
    """
    if len(x) < 2:
        return x.sum() * 0
    return pair_potential(unit(x), scale=4.0).clamp(min=1e-30).log()


def l2(*rows: Tensor) -> Tensor:
    """Half the sum of squares of the rows divided by the batch size (the number of rows of the first argument).

    The convention of He et al. 2020 (LightGCN)'s code. A weight from RecBole's `EmbLoss` or SELFRec's `l2_reg_loss`
    (Euclidean norms rather than squares) does not convert; SSLRec's `reg_params` w, times the sum of all squares beside
    a mean, is 2 * batch size * w here, over all nodes.

    Shapes: each [batch, dim] -> scalar.
    """
    squares = torch.stack([r.square().sum() for r in rows]).sum()
    return squares / (2 * max(len(rows[0]), 1))
