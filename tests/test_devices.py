"""What a device's name means; a run's texts are encoded where it trains."""

from __future__ import annotations

import pytest
import torch

from gnnrec.config import RunConfig
from gnnrec.devices import resolve_device
from gnnrec.errors import ConfigError
from gnnrec.run import _with_device


def test_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert resolve_device("auto") == name
    assert resolve_device("cpu") == "cpu"
    with pytest.raises(
        ConfigError, match=r"^text\.device=abacus cannot be used \(.*\): use text\.device=auto"
    ):
        resolve_device("abacus", "text.device")


@pytest.mark.parametrize(("stated", "used"), [("auto", "meta"), ("cpu", "cpu")])
def test_texts_are_encoded_on_the_device_of_the_run(stated: str, used: str) -> None:
    config = _with_device(RunConfig.from_dict({"device": "meta", "text": {"device": stated}}))
    assert (config.device, config.text.device) == ("meta", used)
