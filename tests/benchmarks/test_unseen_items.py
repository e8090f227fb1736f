"""Recall of unseen items over users, over items and without the most popular ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.unseen_items import main
from gnnrec.errors import ConfigError, DataError


def write_run(path: Path, how: str, split: str, hits: list[int], degree: int = 0) -> None:
    """A run with a seen item and seven unseen ones, the first of which has 100 of the 112 pairs."""
    relevant = np.array([9, 100, 2, 2, 2, 2, 2, 2])
    path.mkdir(parents=True)
    np.savez(
        path / "per_user.npz",
        item_degree=np.array([5, *[degree] * 7]),
        item_relevant=relevant,
        **{"item_hits@20": np.array([0, *hits])},
    )
    result = {"key": path.name, "protocol": "honest", "refit": False, "groups": {}}
    result["metrics"] = {"test/cold/recall@20": sum(hits) / 112}
    (path / "result.json").write_text(json.dumps(result))
    (path / "manifest.json").write_text(json.dumps({"fingerprints": {"data": "d", "split": split}}))
    (path / "config.yaml").write_text(
        yaml.safe_dump({"model": {"name": "m"}, "seed": 0, "text": {"reduce": how}})
    )
    (path / "DONE").touch()


def test_the_popular_item_decides_over_users_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in "ab":
        write_run(tmp_path / f"none{split}", "none", split, [50, 1, 1, 1, 1, 1, 1])
        write_run(tmp_path / f"map{split}", "map", split, [25, 2, 2, 2, 2, 2, 2])
    main([str(tmp_path), "--key", "text.reduce", "--first", "none"])
    header, none, other = capsys.readouterr().out.strip().splitlines()
    assert "over users" in header
    assert "0.5000 +0.0% (+0.0% to +0.0%)" in none
    assert f"{37 / 112:.4f} -33.9% (-33.9% to -33.9%)" in other  # over users
    assert f"{6.25 / 7:.4f} +78.6% (+78.6% to +78.6%)" in other  # over items
    assert "1.0000 +100.0% (+100.0% to +100.0%)" in other  # the two least popular ones


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no finished run"):
        main([str(tmp_path), "--key", "text.reduce"])
    write_run(tmp_path / "1", "none", "a", [0] * 7)
    with pytest.raises(ConfigError, match=r"--key text\.model is no key"):
        main([str(tmp_path), "--key", "text.model"])
    with pytest.raises(ConfigError, match=r"--first whiten is no value of text\.reduce here"):
        main([str(tmp_path), "--key", "text.reduce", "--first", "whiten"])
    write_run(tmp_path / "2", "none", "a", [0] * 7)
    with pytest.raises(ConfigError, match=r"two runs of text\.reduce=none have one split"):
        main([str(tmp_path), "--key", "text.reduce"])
    write_run(tmp_path / "other" / "3", "none", "a", [0] * 7, degree=3)
    with pytest.raises(DataError, match="no test pair of an unseen item"):
        main([str(tmp_path / "other"), "--key", "text.reduce"])
