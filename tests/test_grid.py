"""Every encoder with every view and every loss on planted data: each composition learns, or is refused in one line.

The fast tests take a diagonal of the grid, in which each encoder, view and loss stands at least once. Slow ones:
`pytest -m slow tests/test_grid.py -k pairs` has each pair of an encoder, a view and a loss at least once (208 runs, two
minutes of a core), `-k whole` all of them (some 1900, eight minutes).
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from gnnrec import encoders, objectives, views
from gnnrec.config import RunConfig
from gnnrec.errors import ConfigError
from gnnrec.run import validate

Spec = dict[str, Any]
SSL = 0.005  # on embeddings as short as at the start, cosines push far harder than dot products


def term(name: str, **arguments: Any) -> Spec:
    return {"_target_": f"gnnrec.objectives.{name}", **arguments}


def view(name: str, **arguments: Any) -> Spec:
    return {"_target_": f"gnnrec.views.{name}", **arguments}


def contrast(*first: Spec, **more: Any) -> Spec:
    return {"ssl": {"weight": SSL, "term": term("Contrast", first=list(first), **more)}}


ENCODERS: dict[str, Spec] = {
    "MF": {"_target_": "gnnrec.encoders.LightGCN", "num_layers": 0},
    **{
        name: {"_target_": f"gnnrec.encoders.{name}"}
        for name in encoders.__all__
        if name not in ("States", "LayerSum")
    },
}
# what is added to the ranking loss, and what is done to the main view
VIEWS: dict[str, tuple[Spec, list[Spec]]] = {
    "plain": ({}, []),
    "edge dropout": (contrast(view("EdgeDropout", p=0.2)), []),
    "head edges": (contrast(view("DegreeEdgeDropout", p=0.2), degree_power=0.5), []),
    "node dropout": (contrast(view("NodeDropout", p=0.2)), [view("NodeDropout", p=0.1, side="items")]),
    "random walk": (contrast(view("RandomWalk", p=0.2)), []),
    "masked columns": (contrast(view("FeatureMasking", p=0.2), intra_view=True), []),
    "masked elements": (
        contrast(view("FeatureMasking", p=0.2, mode="elements")),
        [view("FeatureMasking", p=0.1, mode="rows")],
    ),
    "important columns": (contrast(view("ImportanceMasking", p=0.2)), []),
    "layer noise": (contrast(view("LayerNoise", magnitude=0.1)), []),
    "low rank": (contrast(second=[view("SVDView", rank=5)]), []),
    "text edges": (contrast(view("TextEdges", k=3)), []),
    "cross-layer": (
        {"ssl": {"weight": SSL, "term": term("CrossLayer", layer=0, anchor=1)}},
        [view("LayerNoise", magnitude=0.1)],
    ),
    "prototypes": ({"ssl": {"weight": SSL, "term": term("Prototypes", num_clusters=5)}}, []),
}
LOSSES: dict[str, Spec] = {
    "BPR": term("BPR"),
    "BCE": term("BCE"),
    "full softmax": term("Softmax", negatives="all"),
    "uniform softmax": term("Softmax", num_negatives=32),
    "popularity softmax": term("Softmax", negatives="popularity", num_negatives=32),
    "in-batch softmax": term("Softmax", negatives="in_batch", cosine=True, temperature=0.2),
    "mixed softmax": term("Softmax", negatives="mixed", num_negatives=16),
    "cosine contrastive": term("Negatives", term=term("CosineContrastive", margin=0.4), num_negatives=8),
    "bilateral softmax": term("Negatives", term=term("BilateralSoftmax"), num_negatives=8),
    "DirectAU": term("DirectAU"),
    "PopDCL": term("PopDCL", temperature=0.2),
    "UltraGCN": term("Negatives", term=term("Constraint", negative_weight=1.0), num_negatives=8),
    "popular negatives": term("Negatives", term=term("BPR"), power=0.75),
    "hard negatives": term("Negatives", term=term("BPR"), pool=4),
    "mixed negatives": term("MixedNegatives", term=term("BPR"), num_negatives=4),
    "propensity": term("InversePropensity", term=term("BPR")),
}
CELLS = list(product(ENCODERS, VIEWS, LOSSES))
DIAGONAL = [
    (list(ENCODERS)[k % len(ENCODERS)], list(VIEWS)[k % len(VIEWS)], list(LOSSES)[k % len(LOSSES)])
    for k in range(max(len(ENCODERS), len(VIEWS), len(LOSSES)))
]
PAIRS = [
    (list(ENCODERS)[(v + k) % len(ENCODERS)], view_name, loss)
    for v, view_name in enumerate(VIEWS)
    for k, loss in enumerate(LOSSES)
]
# Epochs and rate, where 6 and .03 do not do: UltraGCN's loss starts slowly, PinSage's rectified layers die at a high
# rate, and a loss of cosines does not lengthen vectors that a noise of fixed length drowns.
EFFORT = (6, 0.03)
EFFORTS = {
    **{
        ("LightGCN", view_name, "UltraGCN"): (42, 0.03)
        for view_name in ("random walk", "masked columns", "layer noise", "text edges")
    },
    **{
        ("PinSage", view_name, loss): (12, 0.01)
        for view_name, loss in (
            ("plain", "UltraGCN"),
            ("edge dropout", "popularity softmax"),
            ("head edges", "popularity softmax"),
            ("cross-layer", "UltraGCN"),
            ("prototypes", "BCE"),
            ("prototypes", "UltraGCN"),
        )
    },
    ("LightGCN", "cross-layer", "DirectAU"): (24, 0.1),
}
COSINE = ("in-batch softmax", "cosine contrastive", "bilateral softmax", "DirectAU", "PopDCL")


def measure(planted_folder: Path, model: Spec, epochs: int = EFFORT[0], lr: float = EFFORT[1]) -> float:
    values = {
        "dataset": {"name": str(planted_folder)},
        "text": {"model": "hash"},
        "init": {"dim": 16},
        "model": model,
        "train": {"epochs": epochs, "batch_size": 128, "lr": lr, "select": "ndcg@10", "eval_every": 6},
        "eval": {"ks": [10], "metrics": ["ndcg"], "num_user_groups": 1},
    }
    return validate(RunConfig.from_dict(values))["validation/ndcg@10"]


def compose(encoder: str, augmentation: str, loss: str) -> Spec:
    more, main = VIEWS[augmentation]
    return {
        "name": "grid",
        "encoder": ENCODERS[encoder],
        "objective": {"rank": {"term": LOSSES[loss]}, **more},
        "augmentations": main,
        "score": "cosine" if loss in COSINE else "dot",
        "needs_text": encoder == "TextGraph" or augmentation == "text edges",
    }


def refused(encoder: str, augmentation: str, loss: str) -> str | None:
    """What a composition that cannot work is told, None for all others."""
    if augmentation == "cross-layer" and encoder == "MF":
        return "'anchor' must be in"
    if augmentation == "low rank" and encoder in ("GAT", "PinSage"):
        return "the view of 'SVDView' has no edges"
    return None


@pytest.fixture(scope="module")
def popularity(planted_folder: Path) -> float:
    return measure(planted_folder, {"baseline": {"_target_": "gnnrec.baselines.Popularity"}})


def check(planted_folder: Path, popularity: float, cell: tuple[str, str, str]) -> None:
    told = refused(*cell)
    if told is None:
        assert measure(planted_folder, compose(*cell), *EFFORTS.get(cell, EFFORT)) > popularity + 0.05
        return
    with pytest.raises(ConfigError, match=told):
        measure(planted_folder, compose(*cell))


@pytest.mark.parametrize("cell", DIAGONAL, ids=" - ".join)
def test_a_diagonal_of_the_grid_beats_popularity(
    planted_folder: Path, popularity: float, cell: tuple[str, str, str]
) -> None:
    assert popularity < 0.25
    check(planted_folder, popularity, cell)


@pytest.mark.slow
@pytest.mark.parametrize("cell", PAIRS, ids=" - ".join)
def test_pairs_of_the_grid_beat_popularity(
    planted_folder: Path, popularity: float, cell: tuple[str, str, str]
) -> None:
    check(planted_folder, popularity, cell)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS, ids=" - ".join)
def test_the_whole_grid_beats_popularity(
    planted_folder: Path, popularity: float, cell: tuple[str, str, str]
) -> None:
    check(planted_folder, popularity, cell)


def test_every_pair_is_there() -> None:
    for one, two in ((0, 1), (0, 2), (1, 2)):
        sizes = [len(part) for part in (ENCODERS, VIEWS, LOSSES)]
        assert len({(cell[one], cell[two]) for cell in PAIRS}) == sizes[one] * sizes[two]


def test_nothing_is_missing_from_the_grid() -> None:
    text = repr((ENCODERS, VIEWS, LOSSES))
    functions = {"Augmentation", "View", "augment", "item_text", "nearest_texts", "LowRankGraph"}
    named = {f"gnnrec.views.{name}" for name in views.__all__ if name not in functions}
    other = {
        "Objective",
        "Step",
        "Term",
        "Weighted",
        "L2",
        "ItemItem",
        "check_encoder",
        "known_pairs",
        "rows",
    }
    special = {"MaskedReconstruction", "TextContrast", "TextReconstruction"}  # need an encoder or texts
    named |= {f"gnnrec.objectives.{name}" for name in objectives.__all__ if name not in other | special}
    assert {name for name in named if f"'{name}'" not in text} == set()
