#!/bin/sh
# Runs a program, and does not let it be started again when only a person can help.
#
#   once-set-up.sh PROGRAM [ARGUMENT...]
#
# A program that ends with 78 (EX_CONFIG: it has said in one line which setting is missing or wrong) is waited beside
# until the container is stopped; under `restart: unless-stopped` it would be started again, and say it again, for ever.
# Any other end is passed on, so that a crash is restarted.
set -u

# `$!` and no variable: there is no moment in which the program runs and is not known.
trap 'kill -TERM "$!" 2>/dev/null || exit 143' TERM INT
"$@" &
wait "$!"
code=$?
# A signal ends `wait` and not the program, which may need a while to end.
while kill -0 "$!" 2>/dev/null; do
    wait "$!"
    code=$?
done
[ "$code" -eq 78 ] || exit "$code"

trap 'kill "$!" 2>/dev/null; exit 0' TERM INT
echo "Not started again until that is mended: change .env, then docker compose up -d" >&2
while :; do
    # Without our streams: a signal at this very moment leaves it behind, and who reads them would wait for it.
    sleep 86400 >/dev/null 2>&1 &
    wait "$!"
done
