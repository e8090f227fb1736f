"""From texts to vectors: templates, encoders, cache, reduction, controls and domain adaptation."""

from __future__ import annotations

from gnnrec.text.config import TextConfig
from gnnrec.text.encoder import encode_texts, text_fingerprint
from gnnrec.text.templates import render, row_texts

__all__ = ["TextConfig", "encode_texts", "render", "row_texts", "text_fingerprint"]
