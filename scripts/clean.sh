#!/usr/bin/env bash
# Removes the environment, and the data after a yes: songs, library, favourites and keys are in it, and exist nowhere else.
#
# usage: clean.sh [yes]
set -euo pipefail

say() { "$(dirname "$0")/say.sh" "$@"; }

if [ -e data ]; then
    size="$(du -sh data | cut -f1)"
    songs="$(find data -name '*.dca' | wc -l | tr -d ' ')"
    say "data/ ($size) tiene $songs temas, la biblioteca, las claves y los favoritos; no hay otra copia." \
        "data/ ($size) holds $songs songs, the library, the keys and the favourites; there is no other copy."
    answer="${1:-}"
    if [ -z "$answer" ]; then
        if [ ! -t 0 ]; then
            say "No borré nada. Para borrarlo sin preguntar: make clean YES=1" \
                "Nothing was removed. To remove it without a question: make clean YES=1" >&2
            exit 1
        fi
        read -r -p "$(say '¿Borrarlo? (sí/no) ' 'Remove it? (yes/no) ')" answer || answer=no
    fi
    case "$answer" in
    [sS] | [sS][iI] | [sS]í | [sS]Í | [yY] | [yY][eE][sS] | 1) rm -rf data ;;
    *) say "data/ queda como está." "data/ stays as it is." ;;
    esac
fi
rm -rf .venv
say "Borré .venv." "Removed .venv."
