"""What every Python process that a test starts does first: this folder is on its PYTHONPATH.

Such a process imports for seconds and computes for less, hundreds of times.
"""

import gc
import sys

gc.set_threshold(100_000, 50, 100)  # libraries hold half a million objects: to look through them is a fifth of imports
sys.modules.update(dict.fromkeys(("timm", "wandb")))  # open_clip and accelerate import them if they are there: a second
