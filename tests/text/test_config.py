from __future__ import annotations

import pytest

from gnnrec.errors import ConfigError
from gnnrec.text.config import TextConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "mena"}, "unknown pooling 'mena' in 'text', did you mean 'mean'"),
        ({"dtype": "fp16"}, "unknown dtype"),
        ({"control": "shuffle"}, "did you mean 'shuffled'"),
        ({"reduce": "zca"}, "unknown reduce"),
        ({"max_length": 1}, r"'max_length' must be in \[2, inf\)"),
        ({"batch_tokens": 64}, r"'batch_tokens' must be in \[128, inf\)"),
        ({"dim": 0}, "'dim' must be"),
        ({"reduce_dim": -1}, "'reduce_dim' must be"),
        ({"seed": -1}, r"'seed' must be in \[0, inf\) in 'text'"),
        ({"shrinkage": 1.5}, r"'shrinkage' must be in \[0, 1\]"),
        (
            {"shrinkage": 0.1},
            r"'shrinkage' in 'text' is read by 'reduce' whiten_pca, .* \(got 0.1 with none\)",
        ),
        ({"shrinkage": 0.1, "reduce": "pca"}, r"\(got 0.1 with pca\): leave 'shrinkage' out"),
        ({"reduce_dim": 8}, r"'reduce_dim' in 'text' is read by 'reduce' pca, .* \(got 8 with none\)"),
        ({"reduce_dim": 8, "reduce": "center"}, r"\(got 8 with center\): leave 'reduce_dim' out"),
    ],
)
def test_bad_options_are_refused_when_the_config_is_made(options: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        TextConfig(**options)  # type: ignore[arg-type]
