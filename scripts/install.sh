#!/usr/bin/env bash
# Installs locked packages and shows how far it is: pip itself says nothing for a minute, or far too much.
#
# usage: install.sh PYTHON LOCK...
set -euo pipefail

python="$1"
shift
say() { "$(dirname "$0")/say.sh" "$@"; }

locks=()
for lock in "$@"; do locks+=(-r "$lock"); done
total="$(sed -nE 's/^([A-Za-z0-9._-]+)==.*/\1/p' "$@" | sort -u | wc -l | tr -d ' ')"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
terminal=0
[ ! -t 1 ] || terminal=1

# A line at a terminal that is written over; elsewhere a line at each quarter.
show_progress() {
    awk -v total="$total" -v terminal="$terminal" -v packages="$(say paquetes packages)" \
        -v unpacking="$(say 'descomprimiendo…' 'unpacking…')" '
        /^Collecting / && ++count <= total {
            if (terminal) printf "\r  %d/%d %s ", count, total, packages
            else if (int(count * 4 / total) > int((count - 1) * 4 / total)) printf "  %d/%d %s\n", count, total, packages
            fflush()
        }
        /^Installing collected packages/ { printf "%s  %s\n", terminal ? "\r\033[K" : "", unpacking; fflush() }
    '
}

if ! "$python" -m pip install --disable-pip-version-check --no-input --progress-bar off --require-hashes "${locks[@]}" 2>&1 |
    tee "$log" | show_progress; then
    say 'No se pudo instalar:' 'It could not be installed:' >&2
    tail -n 20 "$log" >&2
    exit 1
fi
