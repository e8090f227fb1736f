"""Exact, grouped, per-user evaluation; it imports no model."""
