#!/bin/sh
# Hands a cookie file that may be there to those who may read it, and hands it over again when it changes.
#
#   hand-over-cookies.sh SOURCE TARGET [SECONDS]
#
# SOURCE belongs to whoever made it and has mode 600; TARGET gets this process's group and mode 440, in one step, and
# goes when SOURCE goes. SECONDS between two looks (5). Says that it did something, and nothing of what is in the file.
set -eu
umask 077

source=$1
target=$2
pause=${3:-5}
beside="$target.new"

hand_over() {
    # One chain: `set -e` does not hold for what is called before an `||`.
    rm -f "$beside" && cat "$source" >"$beside" && chmod 440 "$beside" && mv -f "$beside" "$target" &&
        echo "cookies handed over"
}

trap 'exit 0' TERM INT
while :; do
    if [ -f "$source" ]; then
        cmp -s "$source" "$target" || hand_over || echo "the cookie file cannot be handed over" >&2
    elif [ -e "$target" ]; then
        if rm -f "$target"; then
            echo "cookies taken back"
        else
            echo "the cookie file cannot be taken back" >&2
        fi
    fi
    # In the background, so that a signal does not wait for it.
    sleep "$pause" &
    wait $!
done
