#!/usr/bin/env bash
# Prints the first text where people read Spanish (the default), the second where LOCALE is en: in the environment, else
# in .env. Without texts it prints the language, es or en.
set -euo pipefail

language="${LOCALE:-}"
if [ -z "$language" ] && [ -f .env ]; then
    language="$(sed -nE "s/^[[:space:]]*(export[[:space:]]+)?LOCALE[[:space:]]*=[[:space:]]*[\"']?([a-z]+).*/\2/p" .env | tail -n 1)"
fi
[ "$language" = en ] || language=es

if [ $# -eq 0 ]; then
    printf '%s\n' "$language"
elif [ "$language" = en ]; then
    printf '%s\n' "$2"
else
    printf '%s\n' "$1"
fi
