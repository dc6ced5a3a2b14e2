"""Scores and reports of finished runs."""
