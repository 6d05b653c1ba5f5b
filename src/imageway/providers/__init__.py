"""Outbound wire formats, one package each, independent of its neighbours: pure functions from values to values."""
