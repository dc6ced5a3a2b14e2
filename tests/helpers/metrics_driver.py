"""`python tests/helpers/metrics_driver.py OUTPUT [KEY=VALUE ...]`: the main job on a Ray whose dashboard stays up.

Prints the path of Ray's list of metrics endpoints, then runs the job, says "done" and waits for the end of its input.
"""

import os
import sys
from pathlib import Path
from types import ModuleType

TRIES = 5
"""Ray gives its processes 30 s to start, which on a busy machine is short with a dashboard among them."""


def main() -> None:
    os.environ["RAY_AUTH_MODE"] = "token"
    import ray

    from jobs.generate import main as generate

    output, *settings = sys.argv[1:]
    _start(ray)
    session = Path(ray._private.worker.global_worker.node.get_session_dir_path())
    print(session / "prom_metrics_service_discovery.json", flush=True)
    try:
        sets = [word for item in settings for word in ("--set", item)]
        generate(["--output", output, *sets], standalone_mode=False)
        print("done", flush=True)
        sys.stdin.read()
    finally:
        ray.shutdown()


def _start(ray: ModuleType) -> None:
    for left in reversed(range(TRIES)):
        try:
            ray.init(
                address="local",
                num_cpus=4,
                num_gpus=1,  # of which the machine need have none: what an actor holds is what costs
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                _node_ip_address="127.0.0.1",
                logging_level="WARNING",
                log_to_driver=False,
            )
            return
        except Exception as error:
            if "timed out during startup" not in str(error) or not left:
                raise
            ray.shutdown()


if __name__ == "__main__":
    main()
