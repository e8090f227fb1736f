"""Encoders: functions of a View that own no node embedding. One file each."""

from gnnrec.encoders.graphsage import GraphSAGE
from gnnrec.encoders.lightgcn import LightGCN
from gnnrec.encoders.states import States

__all__ = ["GraphSAGE", "LightGCN", "States"]
