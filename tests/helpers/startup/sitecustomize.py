"""What every Python process that a test starts does first: this folder is on its PYTHONPATH.

Such a process imports for seconds and computes for less, hundreds of times.
"""

import gc
import os
import sys

gc.set_threshold(100_000, 50, 100)  # libraries hold half a million objects: to look through them is a fifth of imports
of_pytest = "stdin.readline" in sys.orig_argv[-1] or sys.orig_argv[1:3] == ["-m", "pytest"]  # pytest-xdist's, or whole
if not of_pytest:  # a second of libraries that import these if they are there; tests use them
    tests_fork = "tests.helpers.fork_server" in sys.orig_argv
    sys.modules.update(dict.fromkeys(("wandb",) if tests_fork else ("timm", "wandb")))

# see tests/helpers/fork_server.py
server = os.environ.get("TOFFEE_TESTS_FORK_SERVER_OF_ALL" if of_pytest else "TOFFEE_TESTS_FORK_SERVER", "")
script, command = (*(word for word in sys.orig_argv[1:] if word != "-u"), "", "")[:2]
of_ray = "/site-packages/ray/" in script and script.endswith(("_worker.py", "/agent.py", "/main.py", "/dashboard.py"))
of_ours = script.startswith("jobs/") or script.endswith("helpers/stub_job.py") or command.startswith("from tests.")
if of_ray or of_ours or of_pytest or (script.endswith("/ray") and command == "job"):
    server += "_of_setups" if script.endswith("/setup_worker.py") else ""
    if os.path.exists(server):
        import handed_to_fork

        handed_to_fork.run(server)
