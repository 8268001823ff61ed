#!/bin/sh
# Starts Alertmanager with the configuration beside it and, if ALERT_DISCORD_WEBHOOK is set, a Discord webhook in its last
# receiver. Without one, or with one that is no address, it runs all the same: a wrong webhook must not stop it.
#
# usage: start.sh CONFIGURATION RESULT COMMAND...
set -eu

configuration="$1"
result="$2"
shift 2

umask 077 # the webhook's address is a secret: with it messages can be written into the channel
cp "$configuration" "$result"
case "${ALERT_DISCORD_WEBHOOK:-}" in
    "")
        echo 'Alerts are shown, and sent nowhere: ALERT_DISCORD_WEBHOOK is not set.' >&2
        ;;
    *[!A-Za-z0-9:/._-]*)
        echo 'ALERT_DISCORD_WEBHOOK is ignored: it has a character that no webhook has.' >&2
        ;;
    https://?* | http://?*)
        cat >>"$result" <<END
    discord_configs:
      - webhook_url: "$ALERT_DISCORD_WEBHOOK"
        send_resolved: true
        title: '{{ .Status | toUpper }}: {{ .CommonLabels.alertname }}'
        message: '{{ range .Alerts }}{{ .Annotations.summary }} ({{ .Labels.severity }}, {{ .Annotations.runbook }}){{ "\n" }}{{ end }}'
END
        ;;
    *)
        echo 'ALERT_DISCORD_WEBHOOK is ignored: it is no https:// address.' >&2
        ;;
esac
exec "$@"
