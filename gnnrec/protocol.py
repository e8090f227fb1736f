"""What each protocol lets training see, and what it is tested on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gnnrec.data.groups import Groups, after_refit
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits import Split
from gnnrec.evaluation.task import Task, test_task

PROTOCOLS = ("honest", "legacy_test_selected")


def protocol_split(split: Split, protocol: str) -> Split:
    """Return the split as a protocol sees it: what selects on test trains on validation, too."""
    if protocol == "honest":
        return split
    nothing = split.validation.select(slice(0, 0))
    return replace(split, train=merge(split.train, split.validation), validation=nothing)


def known_pairs(split: Split, refit: bool) -> Interactions:
    """Return the pairs that the final model is trained on."""
    return merge(split.train, split.validation) if refit else split.train


def final_task(split: Split, items: Groups, users: Groups, refit: bool) -> Task:
    """Return the test task; after a refit nothing is cold that validation has."""
    if refit:
        known = known_pairs(split, refit)
        items, users = after_refit(items, known.item_counts()), after_refit(users, known.user_counts())
    return test_task(split, items, users)


def merge(first: Interactions, second: Interactions) -> Interactions:
    """Return the pairs of two disjoint parts of one split, without ratings and times."""
    return Interactions(
        user=np.concatenate([first.user, second.user]),
        item=np.concatenate([first.item, second.item]),
        num_users=first.num_users,
        num_items=first.num_items,
    ).canonical()
