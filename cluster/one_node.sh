#!/usr/bin/env bash
# Ray on this machine with all its GPUs, for `make submit`: stays in the foreground; Ctrl-C ends it and nothing else.
# The dashboard and the job API listen on the loopback; Ray's internal ports cannot, and are behind the token.
# Arguments go to `ray start`. `ray`, and the `python` of the jobs, are those of the project's environment where it is.
set -euo pipefail
bin=$(dirname "$0")/../${VENV:-.venv}/bin
if [ -x "$bin/ray" ]; then PATH=$(cd "$bin" && pwd):$PATH; fi
export RAY_AUTH_MODE=token
export RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S=${RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S:-30} # a killed job's claim on the CPUs ends after that long
ray get-auth-token --generate > /dev/null            # ~/.ray/auth_token, which `ray job` reads as well
exec ray start --head --block --dashboard-host=127.0.0.1 --disable-usage-stats "$@"
