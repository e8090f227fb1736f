"""Encoders: functions of a View that own no node embedding. One file each."""

from gnnrec.encoders.gat import GAT
from gnnrec.encoders.graphsage import GraphSAGE
from gnnrec.encoders.lightgcn import LightGCN
from gnnrec.encoders.ngcf import NGCF
from gnnrec.encoders.states import States

__all__ = ["GAT", "NGCF", "GraphSAGE", "LightGCN", "States"]
