"""Interactions, data sets, readers, recipes, splits and groups."""
