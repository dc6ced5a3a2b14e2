"""What every Python process that a test starts does first: this folder is on its PYTHONPATH.

Such a process imports for seconds and computes for less, hundreds of times.
"""

import gc
import os
import sys

gc.set_threshold(100_000, 50, 100)  # libraries hold half a million objects: to look through them is a fifth of imports
sys.modules.update(dict.fromkeys(("timm", "wandb")))  # open_clip and accelerate import them if they are there: a second

address = os.environ.get("TOFFEE_TESTS_FORK_SERVER", "")
if os.path.exists(address) and "/ray/_private/workers/" in "".join(sys.orig_argv[1:2]):
    import handed_to_fork

    handed_to_fork.run(address)
