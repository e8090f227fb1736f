"""Encoders: functions of a View that own no node embedding. One file each."""

from gnnrec.encoders.gat import GAT
from gnnrec.encoders.graphmae import GraphMAE
from gnnrec.encoders.graphsage import GraphSAGE
from gnnrec.encoders.lightgcn import LightGCN
from gnnrec.encoders.lightgcn_pp import LightGCNpp
from gnnrec.encoders.ngcf import NGCF
from gnnrec.encoders.pinsage import PinSage
from gnnrec.encoders.states import States
from gnnrec.encoders.text_graph import TextGraph

__all__ = [
    "GAT",
    "NGCF",
    "GraphMAE",
    "GraphSAGE",
    "LightGCN",
    "LightGCNpp",
    "PinSage",
    "States",
    "TextGraph",
]
