"""Thin entry points, one job per file."""
