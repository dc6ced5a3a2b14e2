"""Whether a Ray takes jobs at RAY_ADDRESS, for `make submit`: if none does, one line and exit code 2."""

import os
import sys

from ray.exceptions import RayError
from ray.job_submission import JobSubmissionClient

try:
    JobSubmissionClient()
except (ConnectionError, RayError) as error:
    address = os.environ.get("RAY_ADDRESS") or "http://127.0.0.1:8265 (RAY_ADDRESS is not set)"
    print(
        f"error: no Ray takes jobs at {address}: {str(error).splitlines()[0].split('. ')[0].rstrip('.')}; "
        "start one (make cluster), open the tunnel to its dashboard, or set RAY_AUTH_TOKEN",
        file=sys.stderr,
    )
    sys.exit(2)
