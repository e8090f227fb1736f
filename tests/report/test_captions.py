from __future__ import annotations

import numpy as np

from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.interactions import Interactions
from gnnrec.report.captions import group_note


def test_a_note_has_thresholds_and_the_groups_of_users_that_columns_name(make_run) -> None:
    user, item = np.array([(u, i) for u in range(6) for i in range(u + 1)]).T  # user u has u + 1 items
    train = Interactions(user=user, item=item, num_users=7, num_items=7)
    described = {}
    for groups, unit, ids in ((item_groups(train), "items", item), (user_groups(train, 3), "users", user)):
        counts = groups.interaction_counts(ids)
        for name, size in groups.sizes().items():
            facts = {"definition": groups.definition, "thresholds": groups.thresholds, f"num_{unit}": size}
            described[name] = {**facts, "num_interactions": counts[name], "num_evaluated_users": 5}
    run = make_run("a", {"test/recall@20": 0.5}, groups=described)
    items = group_note([run, run], ["test/recall@20", "test/tail/recall@20"])
    assert items.startswith(
        "head 1 items (6 train interactions, at least 6 each, 5 evaluated users); "
        "mid 2 items (9 train interactions, 5 evaluated users); "
        "tail 3 items (6 train interactions, at most 3 each, 5 evaluated users); "
        "cold 1 items (0 train interactions, 5 evaluated users). head: the most popular 20% of the items"
    )
    assert "user_q" not in items
    both = group_note([run], ["test/user_q1/recall@20", "test/user_q3/recall@20"])
    assert "user_q1 2 users (3 train interactions, at most 2 each, 5 evaluated users)" in both
    assert "user_q3 2 users (11 train interactions, at least 4 and at most 6 each, 5 evaluated users)" in both
    assert "user_q2 2" not in both
    assert both.endswith(
        f"user_q1 (least active) to user_q3: {described['user_q1']['definition'].partition(': ')[2]}."
    )
