#!/usr/bin/env bash
# Takes the cookies of a browser through yt-dlp and keeps YouTube's alone. Never prints a cookie; the file gets its
# name in one step, with mode 600. Messages for people are in Argentine Spanish, as everywhere in this project.
set -euo pipefail
umask 077

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
output="$here/yt-cookies.txt"
browser=""

usage() {
    cat <<'TEXT'
Usage: scripts/filter_youtube_cookies.sh [-o FILE] [BROWSER[+KEYRING][:PROFILE][::CONTAINER]]

Takes the cookies of a browser on this machine through yt-dlp, keeps those of youtube.com and writes them, with mode
600, to yt-cookies.txt beside .env (or to FILE). `docker compose` hands the file to the workers; without Compose, name
it in COOKIES_YOUTUBE. Running services notice when it changes.

BROWSER: brave, chrome, chromium, edge, firefox, opera, safari, vivaldi or whale, as yt-dlp's --cookies-from-browser.
         Without one: the first of these, beginning with firefox, that has a profile in this account.
         A profile is a name or a path: firefox:default-release, chrome:"Profile 1".

The cookies are an account's: whoever has the file can act as you on YouTube. Use an account made for the purpose.

  -o, --output FILE  where to write it
  -h, --help         this text

Exit code: 0 written; 1 nothing written, for the reason that is said; 2 wrong usage.
TEXT
}

fail() {
    printf 'Error: %s\n' "$1" >&2
    exit "${2:-1}"
}

while (($#)); do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        -o | --output)
            [[ -n ${2:-} ]] || fail "falta el archivo después de $1." 2
            output=$2
            shift
            ;;
        -*) fail "no conozco la opción $1. Probá con --help." 2 ;;
        *)
            [[ -z $browser ]] || fail "un navegador solo, por favor. Probá con --help." 2
            browser=$1
            ;;
    esac
    shift
done

# Where each browser keeps its profiles: on Linux, of a snap or a flatpak, on macOS.
browser_here() {
    local support="$HOME/Library/Application Support" config=${XDG_CONFIG_HOME:-$HOME/.config} name place
    while IFS='|' read -r name place; do
        if [[ -d $place ]]; then
            printf '%s' "$name"
            return
        fi
    done <<PLACES
firefox|$HOME/.mozilla/firefox
firefox|$HOME/snap/firefox/common/.mozilla/firefox
firefox|$HOME/.var/app/org.mozilla.firefox/.mozilla/firefox
firefox|$support/Firefox/Profiles
chrome|$config/google-chrome
chrome|$support/Google/Chrome
chromium|$config/chromium
chromium|$HOME/snap/chromium/common/chromium
chromium|$support/Chromium
brave|$config/BraveSoftware/Brave-Browser
brave|$support/BraveSoftware/Brave-Browser
edge|$config/microsoft-edge
edge|$support/Microsoft Edge
vivaldi|$config/vivaldi
vivaldi|$support/Vivaldi
opera|$config/opera
opera|$support/com.operasoftware.Opera
safari|$HOME/Library/Cookies
PLACES
}

if [[ -z $browser ]]; then
    browser=$(browser_here)
    [[ -n $browser ]] || fail "no encontré ningún navegador en esta cuenta. Decime de cuál sacar las cookies, por ejemplo: $0 firefox" 2
    printf 'Navegador: %s\n' "$browser"
fi

name=${browser%%[+:]*}
case $name in
    brave | chrome | chromium | edge | firefox | opera | safari | vivaldi | whale) ;;
    *) fail "no conozco el navegador «$name». Sirven: brave, chrome, chromium, edge, firefox, opera, safari, vivaldi, whale." 2 ;;
esac

# The project's own, if it is installed: the version that the service runs.
ytdlp=$here/.venv/bin/yt-dlp
if [[ -n ${YT_DLP:-} ]]; then
    ytdlp=$YT_DLP
elif [[ ! -x $ytdlp ]]; then
    ytdlp=$(command -v yt-dlp) || fail "no encuentro yt-dlp. Instalalo con «make run» o «pip install yt-dlp»."
fi
command -v "$ytdlp" >/dev/null || fail "no encuentro yt-dlp en «$ytdlp»."

[[ -d $(dirname "$output") ]] || fail "no existe la carpeta $(dirname "$output")."
[[ ! -d $output ]] || fail "«$output» es una carpeta; necesito el nombre de un archivo."

# Beside the target, so that renaming it is one step. All that the browser knows is in here for a moment.
work=$(mktemp -d "$output.XXXXXX") || fail "no puedo escribir en $(dirname "$output")."
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# yt-dlp writes its cookie jar when it ends. Asked for nothing, it reports no URL: the jar counts, not the exit code.
"$ytdlp" --ignore-config --no-update --cookies-from-browser "$browser" --cookies "$work/all" --quiet --no-warnings \
    --skip-download >/dev/null 2>"$work/said" </dev/null || true
if [[ ! -s $work/all ]]; then
    # What it says is about files and keyrings; a line that could hold a cookie has tabs or an equals sign in it.
    grep -E '^ERROR' "$work/said" | grep -vE $'\t|=' | head -n 3 >&2 || true
    fail "yt-dlp no pudo leer las cookies de «$browser». ¿Está instalado en esta máquina, y cerrado? ¿Existe el perfil?"
fi

# The header, and seven fields of which the first is youtube.com or below it; #HttpOnly_ in front is no comment.
{
    printf '# Netscape HTTP Cookie File\n\n'
    awk -F '\t' 'NF == 7 { domain = $1; sub(/^#HttpOnly_/, "", domain)
                           if (domain ~ /^(\.|.+\.)?youtube\.com$/) print }' "$work/all"
} >"$work/kept"
found=$(awk -F '\t' 'NF == 7 { n++ } END { print n + 0 }' "$work/kept")
((found > 0)) || fail "no hay cookies de YouTube en «$browser». Entrá a youtube.com con ese navegador y probá de nuevo."

chmod 600 "$work/kept"
mv -f "$work/kept" "$output"
printf 'Listo: %s cookies de YouTube en %s\n' "$found" "$output"
