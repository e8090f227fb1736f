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
    ],
)
def test_bad_options_are_refused_when_the_config_is_made(options: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        TextConfig(**options)  # type: ignore[arg-type]
