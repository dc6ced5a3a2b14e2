"""A folder for the PYTHONPATH of processes, see `sitecustomize`."""

from pathlib import Path

STARTUP = Path(__file__).parent
