"""What every Python process that a test starts does first: this folder is on its PYTHONPATH.

Such a process imports for seconds and computes for less, hundreds of times.
"""

import gc
import os
import sys

gc.set_threshold(100_000, 50, 100)  # libraries hold half a million objects: to look through them is a fifth of imports
if "-c" not in sys.orig_argv[1:3]:  # no process of pytest-xdist
    sys.modules.update(dict.fromkeys(("timm", "wandb")))  # open_clip, accelerate import them if they are there: a second

server = os.environ.get("TOFFEE_TESTS_FORK_SERVER", "")  # see tests/helpers/fork_server.py
folder, _, script = "".join(sys.orig_argv[1:2]).rpartition("/")
if folder.endswith("/ray/_private/workers"):
    server += "_of_setups" if script == "setup_worker.py" else ""
    if os.path.exists(server):
        import handed_to_fork

        handed_to_fork.run(server)
