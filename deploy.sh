#!/usr/bin/env bash
# Deploys everything into the cluster that kubectl points to: operators, monitoring, Kafka and MongoDB, the two services.
# Each step may be repeated: what is there already is brought up to date, and what is not ours is left alone. Its parts are
# in scripts/deploy/, all texts for people in scripts/deploy/words.sh.
# shellcheck disable=SC2034,SC2154 # its parts share their variables
set -euo pipefail
umask 077

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
overlay=local
dry_run=false
monitoring=true
uninstall=false
delete_data=false
confirmed=false
timeout=600
context=""
context_given=""
use_existing=""

for part in words dotenv pins cluster operators checks removal; do
    # shellcheck source=/dev/null
    source "$here/scripts/deploy/$part.sh"
done

usage() {
    if [[ ${LOCALE:-es} == en* ]]; then
        cat <<'TEXT'
Usage: bash deploy.sh [--overlay NAME] [--skip-monitoring] [--use-existing LIST] [--dry-run] [--yes]
       bash deploy.sh --uninstall [--delete-data] [--skip-monitoring] [--dry-run] [--yes]

Deploys ButakeroMusicBot into the cluster that kubectl points to, in this order: cert-manager, Strimzi, the MongoDB
operator, KEDA, Prometheus and Grafana; secrets; Kafka and MongoDB; the audio service and the bot. Names the cluster and
asks before it changes anything; waits for each step, and asks the health endpoint at the end. Run it again after any
change, or after a failure: it goes on from what is there.

  --overlay NAME       which of k8s/overlays (local)
  --context NAME       another context than kubectl's current one
  --use-existing LIST  operators that are in the cluster already and are not deploy.sh's, with commas:
                       cert-manager,strimzi,mongodb,keda,monitoring
  --skip-monitoring    without Prometheus, Grafana, rules and dashboards; with --uninstall they stay
  --dry-run            check everything, say what would be done, change nothing
  --yes                do not ask (CI)
  --timeout SECONDS    for each wait (600)
  --uninstall          remove the two services and the monitoring; Kafka, MongoDB, the songs and their operators stay
  --delete-data        with --uninstall: remove everything of ours, all data included; asks for the context's name
                       (without a terminal: --yes --context NAME)
  -h, --help           this text

Secrets come from k8s/secrets/backend.env and k8s/secrets/discord-bot.env (copy the .example files beside them) and, if it
is there, yt-cookies.txt; without the files, from Secrets that are in the cluster already.

Exit code: 0 done; 1 something failed or is missing, as said; 2 wrong usage.
TEXT
    else
        cat <<'TEXT'
Uso: bash deploy.sh [--overlay NOMBRE] [--skip-monitoring] [--use-existing LISTA] [--dry-run] [--yes]
     bash deploy.sh --uninstall [--delete-data] [--skip-monitoring] [--dry-run] [--yes]

Despliega ButakeroMusicBot en el clúster al que apunta kubectl, en este orden: cert-manager, Strimzi, el operador de
MongoDB, KEDA, Prometheus y Grafana; secretos; Kafka y MongoDB; el servicio de audio y el bot. Dice qué clúster es y pregunta
antes de cambiar algo; espera cada paso y al final consulta la salud. Después de un cambio o de una falla se corre otra vez:
sigue desde lo que ya está. (In English: LOCALE=en bash deploy.sh --help)

  --overlay NOMBRE      cuál de k8s/overlays (local)
  --context NOMBRE      otro contexto que el actual de kubectl
  --use-existing LISTA  operadores que ya están en el clúster y no son de deploy.sh, con comas:
                        cert-manager,strimzi,mongodb,keda,monitoring
  --skip-monitoring     sin Prometheus, Grafana, reglas ni tableros; con --uninstall, quedan
  --dry-run             revisa todo, dice qué haría y no cambia nada
  --yes                 no pregunta (CI)
  --timeout SEGUNDOS    para cada espera (600)
  --uninstall           quita los dos servicios y el monitoreo; quedan Kafka, MongoDB, los temas y sus operadores
  --delete-data         con --uninstall: quita todo lo nuestro, con los datos; pide el nombre del contexto
                        (sin terminal: --yes --context NOMBRE)
  -h, --help            este texto

Los secretos salen de k8s/secrets/backend.env y k8s/secrets/discord-bot.env (copiá los .example que están al lado) y, si está,
de yt-cookies.txt; sin los archivos, de los Secrets que ya tiene el clúster.

Código de salida: 0 listo; 1 algo falló o falta, y se dice qué; 2 mal usado.
TEXT
    fi
}

misused() {
    word try-help "$(word error "$1")" >&2
    printf '\n' >&2
    exit 2
}

while (($#)); do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --overlay | --timeout | --context | --use-existing)
            [[ -n ${2:-} ]] || misused "$(word no-value "$1")"
            case $1 in
                --overlay) overlay=$2 ;;
                --timeout) timeout=$2 ;;
                --context) context=$2 context_given=$2 ;;
                --use-existing) use_existing=$2 ;;
            esac
            shift
            ;;
        --dry-run) dry_run=true ;;
        --skip-monitoring) monitoring=false ;;
        --uninstall) uninstall=true ;;
        --delete-data) delete_data=true ;;
        --yes | -y) confirmed=true ;;
        *) misused "$(word unknown-option "$1")" ;;
    esac
    shift
done
[[ $timeout =~ ^[1-9][0-9]{0,4}$ ]] || misused "$(word want-seconds "$timeout")"
[[ $overlay =~ ^[a-z0-9-]+$ ]] || misused "$(word bad-overlay "$overlay")"
$uninstall || ! $delete_data || misused "$(word delete-data-alone)"
for name in ${use_existing//,/ }; do
    operator "$name" || misused "$(word unknown-operator "$name" "${operators[*]}")"
done

rendered_from=$here/k8s/overlays/$overlay
monitors=$here/k8s/base/monitoring
backend_env=$here/k8s/secrets/backend.env
bot_env=$here/k8s/secrets/discord-bot.env
api_keys=$here/k8s/secrets/api-keys.json
cookies=$here/yt-cookies.txt
deployments=(audio-processor audio-api discord-bot)
work=$(mktemp -d)
forward=""
step=""
look=""
number=0

# Says which step failed and where to look, whatever ended it.
finish() {
    local code=$?
    [[ -z $forward ]] || kill "$forward" 2>/dev/null || true
    rm -rf "$work"
    if ((code != 0)) && [[ -n $step ]]; then
        printf '\n'
        say step-failed "$number" "$step"
        printf '  %s\n' "${look//$'\n'/$'\n'  }"
        say same-again
    fi >&2
    exit "$code"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# begin NAME LOOK FUNCTION [ARGUMENT...]: one step. LOOK is what to type when it fails.
begin() {
    step=$(word "$1")
    look=$2
    shift 2
    number=$((number + 1))
    printf '[%d] %s\n' "$number" "$step"
    "$@"
    step=""
}

# --- the steps --------------------------------------------------------------------------------------------------

# Those that are not there, and those that it made before; what others made keeps its labels.
make_namespaces() {
    local name state selector=app.kubernetes.io/part-of=butakero
    for name in $(namespaces_of_ours); do
        state=$(namespace_state "$name")
        if skipped "$name" || [[ $state == foreign* ]]; then selector+=",butakero/namespace!=$name"; fi
    done
    apply -k "$here/k8s/namespaces" -l "$selector"
}

# secret_from FILE NAME KEY...: in `backend`, unless there is no such file. A key that was left empty is left out.
secret_from() {
    local file=$1 name=$2 key value
    shift 2
    [[ -f $file ]] || return 0
    mkdir "$work/$name"
    read_dotenv "$file"
    for key in "$@"; do
        value=$(value_of "$file" "$key")
        [[ -z $value ]] || printf '%s' "$value" >"$work/$name/$key"
    done
    put_secret backend "$name" "$work/$name"
}

# In the same Secret, but a key of its own manager: without the file, and without backend.env, what is there stays.
put_cookies() {
    mkdir "$work/cookies"
    if [[ -s $cookies ]]; then
        cp "$cookies" "$work/cookies/YT_COOKIES"
    else
        [[ ! -f $cookies ]] || note cookies-empty
        in_cluster backend backend-secret YT_COOKIES >"$work/cookies/YT_COOKIES"
        [[ -s $work/cookies/YT_COOKIES ]] || return 0
        note cookies-kept
    fi
    put_secret backend backend-secret "$work/cookies" deploy.sh-cookies
}

# Hashes, which change with every `butakero keys create`; the service notices.
put_api_keys() {
    if [[ ! -f $api_keys ]]; then
        [[ -z $(in_cluster backend audio-api-keys api-keys.json) ]] || note keys-kept
        return 0
    fi
    mkdir "$work/audio-api-keys"
    cp "$api_keys" "$work/audio-api-keys/api-keys.json"
    put_secret backend audio-api-keys "$work/audio-api-keys"
}

# What Prometheus shows MongoDB's agents: made once, and nobody else's.
put_mongodb_metrics() {
    [[ -z $(in_cluster mongodb mongodb-metrics password) ]] || return 0
    mkdir "$work/mongodb-metrics"
    printf prometheus >"$work/mongodb-metrics/username"
    head -c 24 /dev/urandom | base64 | tr -d '\n' >"$work/mongodb-metrics/password"
    put_secret mongodb mongodb-metrics "$work/mongodb-metrics"
}

put_secrets() {
    put_cookies
    secret_from "$backend_env" backend-secret YOUTUBE_API_KEY MONGO_USER MONGO_PASSWORD
    secret_from "$bot_env" discord-bot-secrets DISCORD_TOKEN AUDIO_PROCESSOR_API_KEY
    put_api_keys
    mkdir "$work/audio-password"
    printf '%s' "$(secret_value "$backend_env" backend backend-secret MONGO_PASSWORD)" >"$work/audio-password/password"
    put_secret mongodb audio-password "$work/audio-password"
    put_mongodb_metrics
}

databases() {
    change kubectl wait --for=condition=Established --timeout="${timeout}s" \
        crd/certificates.cert-manager.io crd/kafkas.kafka.strimzi.io crd/kafkatopics.kafka.strimzi.io \
        crd/kafkausers.kafka.strimzi.io crd/mongodbcommunity.mongodbcommunity.mongodb.com crd/scaledobjects.keda.sh
    apply -f "$work/rendered" -l 'butakero/part!=application'
    local namespace
    for namespace in cert-manager kafka mongodb backend; do
        wait_for condition=Ready "$namespace" certificate --all
    done
}

kafka_ready() {
    wait_for condition=Ready kafka kafka/butakero
    wait_for condition=Ready kafka kafkatopic --all
    wait_for condition=Ready backend kafkauser --all
}

# Pods read settings and certificates when they start. What these are now is noted in the pods' template, so that the
# pods are replaced when something of it has changed, and only then; and the first pods are made with it.
note_configuration() {
    local versions
    versions=$(kubectl get --namespace backend -o 'jsonpath={.items[*].metadata.resourceVersion}' \
        configmap/butakero-config configmap/audio-service-config configmap/discord-bot-config secret/backend-secret \
        secret/discord-bot-secrets secret/backend-client secret/audio-service secret/discord-bot)
    sed "s,butakero/configuration: .*,butakero/configuration: v-${versions// /-}," "$work/rendered" >"$work/noted"
    mv "$work/noted" "$work/rendered"
}

application() {
    apply -f "$work/rendered" -l 'butakero/part=application,butakero/workload!=true'
    change note_configuration
    apply -f "$work/rendered" -l 'butakero/part=application,butakero/workload=true'
    local deployment
    for deployment in "${deployments[@]}"; do
        change kubectl rollout status "deployment/$deployment" --namespace backend --timeout="${timeout}s"
    done
    wait_for condition=Ready backend scaledobject/audio-processor
}

forwarded_port() {
    sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/forward" | head -n 1
}

# As an operator would: through the Service, at the health endpoint.
verify() {
    if $dry_run; then
        printf '    + GET /api/v1/health: svc/audio-processing-service\n'
        return
    fi
    : >"$work/forward"
    # The program itself, so that it is what is ended.
    "$(type -P kubectl)" port-forward svc/audio-processing-service :8080 --namespace backend \
        ${context:+"--context=$context"} >"$work/forward" 2>&1 &
    forward=$!
    local deadline=$((SECONDS + 30)) status=000
    until [[ -n $(forwarded_port) ]]; do
        kill -0 "$forward" 2>/dev/null || fail "$(word forward-ended "$(tail -n 1 "$work/forward")")"
        ((SECONDS < deadline)) || fail "$(word forward-closed)"
        sleep 0.2
    done
    deadline=$((SECONDS + (timeout < 60 ? timeout : 60)))
    while :; do
        status=$(curl --silent --noproxy '*' --output "$work/health" --write-out '%{http_code}' --max-time 10 \
            "http://127.0.0.1:$(forwarded_port)/api/v1/health" || true)
        if [[ $status == 200 ]] || ((SECONDS >= deadline)); then break; fi
        sleep 0.2
    done
    [[ $status == 200 ]] || fail "$(word unwell "$status" "$(head -c 600 "$work/health" 2>/dev/null || true)")"
    printf '    /api/v1/health: 200\n'
}

deploy() {
    local name
    begin step-check "bash deploy.sh --help" check
    begin step-namespaces "kubectl get namespaces" make_namespaces
    for name in "${operators[@]}"; do
        wanted "$name" || continue
        operator "$name"
        begin "$title" "kubectl get pods -n $namespace"$'\n'"helm status $name -n $namespace" install_operator "$name"
    done
    begin step-secrets $'kubectl get secrets -n backend\nkubectl get secret audio-password -n mongodb' put_secrets
    begin step-databases $'kubectl get certificates -A\nkubectl describe clusterissuer butakero-ca' databases
    begin Kafka $'kubectl describe kafka butakero -n kafka\nkubectl get pods,pvc -n kafka
kubectl get kafkatopics -n kafka\nkubectl get kafkausers -n backend\nkubectl logs deploy/strimzi-cluster-operator -n kafka' kafka_ready
    begin MongoDB $'kubectl describe mongodbcommunity butakero-mongodb -n mongodb\nkubectl get pods,pvc -n mongodb
kubectl logs deploy/mongodb-kubernetes-operator -n mongodb' \
        wait_for 'jsonpath={.status.phase}=Running' mongodb mongodbcommunity/butakero-mongodb
    begin step-application $'kubectl get pods,pvc -n backend\nkubectl describe pods -n backend
kubectl logs -n backend deploy/audio-api\nkubectl logs -n backend deploy/audio-processor\nkubectl logs -n backend deploy/discord-bot' application
    if $monitoring; then
        begin step-monitors "kubectl get servicemonitors,prometheusrules -A" apply -k "$monitors"
    fi
    begin step-verify $'kubectl port-forward svc/audio-processing-service 8080 -n backend\ncurl http://127.0.0.1:8080/api/v1/health' verify
    if $dry_run; then
        printf '\n%s\n' "$(word nothing-changed)"
        return
    fi
    printf '\n'
    say deployed "kubectl port-forward svc/audio-processing-service 8080 -n backend"
    ! $monitoring || say grafana "kubectl port-forward svc/grafana 3000 -n monitoring" "kubectl get secret grafana -n monitoring"
}

if $uninstall; then remove; else deploy; fi
