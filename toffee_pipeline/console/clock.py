"""Times as the console shows them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """h:mm:ss, after the days where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    shown = f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{days} d {shown}" if days else shown
