"""EASE with the items' text: a text autoencoder whose weights the collaborative one is drawn to."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from gnnrec.baselines.content import unit_vectors
from gnnrec.baselines.dense import invert_in_place
from gnnrec.baselines.ease import gram, history_product
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, check_range

# Of 1 - k, by which vectors in float32 are divided: weights of size 1 are wrong by about 1e-7 over it.
LEAST_REST = 1e-4


class TextEASE:
    """EASE whose weights are pulled towards an EASE of the items' text vectors, which reaches cold items.

    min_C |T^T - T^T C|^2 + text_l2 |C|^2, diag(C) = 0, T [num_items, d] the text vectors, then
    min_B |X - X B|^2 + l2 |B|^2 + text_weight |B - C|^2, diag(B) = 0. With P = (X^T X + (l2 + text_weight) I)^-1,
    B = text_weight P C - P diag((1 + text_weight diag(P C)) / diag(P)) off the diagonal. Moon, Park and Lee 2025
    (L3AE), https://arxiv.org/abs/2508.13500, eq. 5 to 8. C is never formed: by Woodbury's identity it is
    K diag(1 / (1 - k)) - diag(k / (1 - k)), K = T (text_l2 I + T^T T)^-1 T^T, k = diag(K), so one float32 matrix
    [num_items, num_items] is held, as in EASE. The text autoencoder is fitted to the texts of all items, those without
    interactions included, as the authors' is: other texts of unseen items change the scores of seen ones.

    Args:
        l2, text_weight: see above; l2 may be negative while l2 + text_weight > 0 (as in the authors' settings).
        text_l2: of the text autoencoder. center: subtract the mean text vector of the seen items first (the
            authors do not); the vectors are scaled to length 1 in either case.
    """

    name = "EASE + text"

    def __init__(
        self, l2: float = 50.0, text_weight: float = 50.0, text_l2: float = 5.0, center: bool = True
    ) -> None:
        check_range("text_weight", text_weight, "TextEASE", low=0)
        check_range("text_l2", text_l2, "TextEASE", low=0, low_open=True)
        if l2 + text_weight <= 0:
            raise ConfigError(f"'l2' + 'text_weight' must be positive in 'TextEASE' (got {l2 + text_weight})")
        self.l2, self.text_weight, self.text_l2, self.center = l2, text_weight, text_l2, center

    def fit(
        self,
        train: Interactions,
        item_vectors: np.ndarray | None = None,
        user_vectors: np.ndarray | None = None,
    ) -> TextEASE:
        """Solve both problems with `item_vectors` [num_items, d]."""
        text = torch.from_numpy(unit_vectors(item_vectors, train, "TextEASE", self.center))
        self.history = sp.csr_matrix(train.csr())
        inverse = invert_in_place(gram(sp.csr_matrix(self.history.T), self.l2 + self.text_weight, "TextEASE"))
        mapped, leverage = text_projection(text, self.text_l2)
        rest = 1.0 - leverage
        if rest.min() < LEAST_REST:
            raise ConfigError(
                f"'text_l2' is too small for float32 in 'TextEASE' (got {self.text_l2}): "
                "the text of an item is told by those of the others"
            )
        quotient = (leverage / rest).float()
        # P C = left (T / rest)^T - P diag(leverage / rest), with left = P T (text_l2 I + T^T T)^-1.
        left, right = inverse @ mapped, (text / rest[:, None]).float()
        own = inverse.diagonal().clone()
        product = (left * right).sum(dim=1) - own * quotient
        column = self.text_weight * quotient + (1.0 + self.text_weight * product) / own
        weights = inverse.mul_(-column)
        weights.addmm_(left, right.T, alpha=self.text_weight)
        self.weights = weights.fill_diagonal_(0.0)
        return self

    def scores(self, user: Tensor) -> Tensor:
        """Score all items: [len(user), num_items] float32."""
        return history_product(self.history, user.cpu(), self.weights).to(user.device)


def text_projection(text: Tensor, l2: float) -> tuple[Tensor, Tensor]:
    """Return T (l2 I + T^T T)^-1 [n, d], float32, and the diagonal of T (l2 I + T^T T)^-1 T^T [n], float64."""
    exact = text.double()
    system = exact.T @ exact
    system.diagonal().add_(l2)
    mapped = torch.linalg.solve(system, exact.T).T
    return mapped.float(), (mapped * exact).sum(dim=1)
