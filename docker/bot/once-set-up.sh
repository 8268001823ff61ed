#!/bin/sh
# Runs a program, and does not let it be started again when only a person can help.
#
#   once-set-up.sh PROGRAM [ARGUMENT...]
#
# A program that ends with 78 (EX_CONFIG: it has said in one line which setting is missing or wrong) is waited beside
# until the container is stopped; under `restart: unless-stopped` it would be started again, and say it again, for ever.
# Any other end is passed on, so that a crash is restarted.
set -u

program=
trap '[ -z "$program" ] || kill -TERM "$program" 2>/dev/null' TERM INT
"$@" &
program=$!
wait "$program"
code=$?
# A signal ends `wait` and not the program, which may need a while to end.
while kill -0 "$program" 2>/dev/null; do
    wait "$program"
    code=$?
done
[ "$code" -eq 78 ] || exit "$code"

sleep 86400 &
pause=$!
trap 'kill "$pause"; exit 0' TERM INT
echo "Not started again until that is mended: change .env, then docker compose up -d" >&2
while :; do
    wait "$pause"
    sleep 86400 &
    pause=$!
done
