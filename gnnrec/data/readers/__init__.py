"""Readers of published data sets, one small module per family; each returns a Dataset."""
