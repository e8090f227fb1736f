"""One training loop, its sampler and its checkpoints."""

from gnnrec.training.fit import History, TrainConfig, fit

__all__ = ["History", "TrainConfig", "fit"]
