#!/usr/bin/env bash
# Fails if the subject of a commit has more than 72 characters.
#   commit-subjects.sh REVISIONS        commits, as git log takes them (main..HEAD)
#   commit-subjects.sh --message FILE   the message of a commit that is being made
set -euo pipefail
export LC_ALL=C.UTF-8
limit=72

if [ "$1" = --message ]; then
	subjects=$(grep -v '^#' "$2" | head -n 1 || true)
else
	subjects=$(git log --no-merges --format=%s "$1")
fi

status=0
while IFS= read -r subject; do
	if [ "${#subject}" -gt "$limit" ]; then
		echo "${#subject} characters, at most $limit: $subject" >&2
		status=1
	fi
done <<<"$subjects"
exit "$status"
