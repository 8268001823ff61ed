#!/bin/bash
# MongoDB as a replica set of one, with authentication: what the mongo image does not do by itself.
#
# The first start makes the secrets, in the volume below SECRETS: the key file (a replica set with authentication needs
# one), the administrator's password, and the password of the audio service, which alone is readable for others. They
# leave this volume in no other way: not as arguments, not in the environment, not in a log. Later starts use them.
# `initiate.js` makes the replica set and the users, once the server answers.
set -euo pipefail

secrets=${SECRETS:-/data/configdb}
data=${DATA:-/data/db}
port=${PORT:-27017}
here=$(cd "$(dirname "$0")" && pwd)
export SECRETS=$secrets PORT=$port

# make NAME MODE: a secret of 64 characters in one step, unless there is one.
make() {
    [[ -s $secrets/$1 ]] && return
    (umask 077 && head -c 48 /dev/urandom | base64 -w 0 >"$secrets/.$1.new")
    chmod "$2" "$secrets/.$1.new"
    mv "$secrets/.$1.new" "$secrets/$1"
}

make keyfile 400
make admin_password 400
make mongo_password 444

# Beside the server, which becomes this process and gets its signals. Until it is through, the health check fails.
(mongosh --quiet --norc --nodb --file "$here/initiate.js" &)

exec mongod --dbpath "$data" --port "$port" --bind_ip "${BIND_IP:-0.0.0.0}" --nounixsocket \
    --replSet rs0 --keyFile "$secrets/keyfile" --wiredTigerCacheSizeGB "${CACHE_GB:-0.5}" --quiet \
    --setParameter transactionLifetimeLimitSeconds=10
