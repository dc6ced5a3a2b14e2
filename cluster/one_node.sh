#!/usr/bin/env bash
# Ray on this machine with all its GPUs, for `make submit`: stays in the foreground; Ctrl-C ends it and nothing else.
# All of it listens on the loopback alone. The token and Ray's files, which lie in /tmp/ray-UID/ray (or in
# $RAY_TMPDIR/ray-UID/ray), are the user's alone.
# Arguments go to `ray start`; with --node-ip-address=ADDRESS other nodes may join, and every port but the dashboard's is open.
# `ray`, and the `python` of the jobs, are those of the project's environment where it is.
set -euo pipefail
bin=$(dirname "$0")/../${VENV:-.venv}/bin
if [ -x "$bin/ray" ]; then PATH=$(cd "$bin" && pwd):$PATH; fi
RAY_TMPDIR=${RAY_TMPDIR:-${TMPDIR:-/tmp}}/ray-$(id -u) # Ray opens its own folders to all whenever a worker starts
mkdir -m 700 -p "$RAY_TMPDIR"
if [ -L "$RAY_TMPDIR" ] || [ ! -O "$RAY_TMPDIR" ]; then
    echo "$RAY_TMPDIR is not a folder of yours; set RAY_TMPDIR to one that is" >&2
    exit 2
fi
chmod 700 "$RAY_TMPDIR"
export RAY_TMPDIR
export RAY_AUTH_MODE=token
# Ray's own address is then the loopback; to --node-ip-address=127.0.0.1 it gives the machine's, which others reach
export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
export RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S=${RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S:-30} # a killed job's claim on the CPUs ends after that long
(umask 077 && ray get-auth-token --generate) > /dev/null # ~/.ray/auth_token, which `ray job` reads as well
[ ! -f ~/.ray/auth_token ] || chmod 600 ~/.ray/auth_token
exec ray start --head --block --dashboard-host=127.0.0.1 --disable-usage-stats "$@"
