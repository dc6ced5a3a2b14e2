#!/usr/bin/env bash
# Ray on this machine with all its GPUs, for `make submit`: stays in the foreground; Ctrl-C ends it and nothing else.
# The dashboard and the job API listen on the loopback. Ray's internal ports and Ray Client's listen on every address, behind
# the token, and so do its metrics, without one. Token and session folder are the user's alone.
# Arguments go to `ray start`. `ray`, and the `python` of the jobs, are those of the project's environment where it is.
set -euo pipefail
bin=$(dirname "$0")/../${VENV:-.venv}/bin
if [ -x "$bin/ray" ]; then PATH=$(cd "$bin" && pwd):$PATH; fi
export RAY_AUTH_MODE=token
export RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S=${RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S:-30} # a killed job's claim on the CPUs ends after that long
(umask 077 && ray get-auth-token --generate) > /dev/null # ~/.ray/auth_token, which `ray job` reads as well
[ ! -f ~/.ray/auth_token ] || chmod 600 ~/.ray/auth_token
close_session() { # Ray makes its folder, whose name ends with our process number, and soon opens it to all: so for ten seconds
    local left=100
    while [ $left -gt 0 ] && kill -0 $$ 2> /dev/null; do
        if chmod 700 "${RAY_TMPDIR:-${TMPDIR:-/tmp}}"/ray/session_*_$$ 2> /dev/null; then left=$((left - 1)); fi
        sleep 0.1
    done
}
close_session &
exec ray start --head --block --dashboard-host=127.0.0.1 --disable-usage-stats "$@"
