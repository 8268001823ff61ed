#!/usr/bin/env bash
# Deploys everything into the cluster that kubectl points to: operators, monitoring, Kafka and MongoDB, the two services.
# Each step may be repeated: what is there already is brought up to date. Texts for people are in Argentine Spanish.
set -euo pipefail
umask 077

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
overlay=local
dry_run=false
monitoring=true
uninstall=false
delete_data=false
timeout=600

usage() {
    cat <<'TEXT'
Usage: bash deploy.sh [--overlay NAME] [--skip-monitoring] [--dry-run] [--timeout SECONDS]
       bash deploy.sh --uninstall [--delete-data] [--overlay NAME] [--dry-run]

Deploys ButakeroMusicBot into the cluster that kubectl points to, in this order: cert-manager, Strimzi, the MongoDB
operator, KEDA, Prometheus and Grafana; secrets; Kafka and MongoDB; the audio service and the bot. Waits for each, and
asks the health endpoint at the end. Run it again after any change, or after a failure: it goes on from what is there.

  --overlay NAME     which of k8s/overlays (local)
  --skip-monitoring  without Prometheus, Grafana, rules and dashboards
  --dry-run          check everything, say what would be done, change nothing
  --timeout SECONDS  for each wait (600)
  --uninstall        remove the two services and the monitoring; Kafka, MongoDB, the songs and their operators stay
  --delete-data      with --uninstall: remove everything, all data included
  -h, --help         this text

Secrets come from k8s/secrets/backend.env and k8s/secrets/discord-bot.env (copy the .example files beside them) and, if it
is there, yt-cookies.txt; without the files, from Secrets that are in the cluster already.

Exit code: 0 done; 1 something failed or is missing, as said; 2 wrong usage.
TEXT
}

misused() {
    printf 'Error: %s Probá con --help.\n' "$1" >&2
    exit 2
}

while (($#)); do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --overlay | --timeout)
            [[ -n ${2:-} ]] || misused "falta el valor después de $1."
            if [[ $1 == --overlay ]]; then overlay=$2; else timeout=$2; fi
            shift
            ;;
        --dry-run) dry_run=true ;;
        --skip-monitoring) monitoring=false ;;
        --uninstall) uninstall=true ;;
        --delete-data) delete_data=true ;;
        *) misused "no conozco la opción $1." ;;
    esac
    shift
done
[[ $timeout =~ ^[1-9][0-9]{0,4}$ ]] || misused "--timeout quiere segundos, no «$timeout»."
[[ $overlay =~ ^[a-z0-9-]+$ ]] || misused "«$overlay» no es el nombre de un overlay."
$uninstall || ! $delete_data || misused "--delete-data va con --uninstall."

rendered_from=$here/k8s/overlays/$overlay
monitors=$here/k8s/base/monitoring
backend_env=$here/k8s/secrets/backend.env
bot_env=$here/k8s/secrets/discord-bot.env
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
        printf '\nFalló el paso %d, «%s».\nPara ver por qué:\n' "$number" "$step"
        printf '  %s\n' "${look//$'\n'/$'\n'  }"
        printf 'Cuando esté arreglado, corré el mismo comando otra vez: sigue desde lo que ya está.\n'
    fi >&2
    exit "$code"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# begin NAME LOOK FUNCTION [ARGUMENT...]: one step. LOOK is what to type when it fails.
begin() {
    step=$1
    look=$2
    shift 2
    number=$((number + 1))
    printf '[%d] %s\n' "$number" "$step"
    "$@"
    step=""
}

# Runs what changes something, or waits for a change; with --dry-run it is only said.
change() {
    if $dry_run; then
        printf '    + %s\n' "$*"
    else
        "$@"
    fi
}

fail() {
    printf 'Error: %s\n' "$1" >&2
    exit 1
}

# --- before anything is changed ---------------------------------------------------------------------------------

value_of() { # FILE KEY
    sed -n "s/^$2=//p" "$1" | head -n 1 | tr -d '\r'
}

in_cluster() { # NAMESPACE NAME KEY: the value, or nothing
    kubectl get secret "$2" --namespace "$1" --ignore-not-found -o "jsonpath={.data.$3}" 2>/dev/null | base64 -d 2>/dev/null || true
}

# secret_value FILE NAMESPACE NAME KEY: from the file, or from the cluster where there is no file.
secret_value() {
    if [[ -f $1 ]]; then value_of "$1" "$4"; else in_cluster "$2" "$3" "$4"; fi
}

check_secret() { # FILE NAME KEY
    local value
    value=$(secret_value "$1" backend "$2" "$3")
    if [[ -z $value ]]; then
        if [[ -f $1 ]]; then
            printf 'falta %s en %s.\n' "$3" "${1#"$here"/}"
        else
            printf 'falta %s: copiá %s.example a %s y completalo.\n' "$3" "${1#"$here"/}" "${1##*/}"
        fi
    elif [[ $value == *CHANGE_ME* ]]; then
        printf '%s sigue en CHANGE_ME (%s).\n' "$3" "${1#"$here"/}"
    fi
}

check_secrets() {
    check_secret "$backend_env" backend-secret MONGO_USER
    check_secret "$backend_env" backend-secret MONGO_PASSWORD
    check_secret "$bot_env" discord-bot-secrets DISCORD_TOKEN
    local user
    user=$(secret_value "$backend_env" backend backend-secret MONGO_USER)
    # The name stands in the MongoDBCommunity, which cannot read it from a Secret.
    [[ -z $user || $user == *CHANGE_ME* ]] || grep -q "name: $user\$" "$here/k8s/base/mongodb/replica-set.yaml" ||
        printf 'MONGO_USER tiene que ser el usuario de k8s/base/mongodb/replica-set.yaml.\n'
}

check_tools() {
    local tool
    for tool in kubectl helm curl; do
        command -v "$tool" >/dev/null || printf 'no encuentro %s en el PATH: instalalo.\n' "$tool"
    done
}

check_cluster() {
    kubectl get --raw=/readyz --request-timeout=15s >/dev/null 2>"$work/said" ||
        printf 'el clúster de kubectl (contexto «%s») no responde: %s\n' \
            "$(kubectl config current-context 2>/dev/null || true)" "$(head -n 1 "$work/said")"
}

check_overlay() {
    if [[ ! -f $rendered_from/kustomization.yaml ]]; then
        printf 'no existe k8s/overlays/%s. Hay: %s\n' "$overlay" "$(cd "$here/k8s/overlays" && echo *)"
    elif ! kubectl kustomize "$rendered_from" >"$work/rendered" 2>"$work/said"; then
        printf 'k8s/overlays/%s no se puede armar: %s\n' "$overlay" "$(head -n 1 "$work/said")"
    elif ! $uninstall && grep -q CHANGE_ME "$work/rendered"; then
        printf 'quedan valores en CHANGE_ME en k8s/overlays/%s: %s\n' "$overlay" \
            "$(grep -rhE '^[^#]*CHANGE_ME' "$rendered_from" | sed -E 's/^[ -]*//' | sort -u | paste -sd ';')"
    fi
}

check_rights() {
    kubectl auth can-i create clusterroles --quiet >/dev/null 2>&1 ||
        printf 'no tenés permiso para instalar operadores en este clúster (clusterroles).\n'
}

# One line for each thing that is missing. What needs kubectl, or a cluster, is asked only where there is one.
missing() {
    check_tools
    command -v kubectl >/dev/null || return 0
    check_overlay
    local cluster
    cluster=$(check_cluster)
    if [[ -n $cluster ]]; then
        printf '%s\n' "$cluster"
    else
        $uninstall || check_rights
    fi
    $uninstall || check_secrets
}

check() {
    missing >"$work/missing"
    if [[ -s $work/missing ]]; then
        printf 'Falta esto antes de empezar:\n' >&2
        sed 's/^/  - /' "$work/missing" >&2
        exit 1
    fi
    printf '    clúster: %s, overlay: %s\n' "$(kubectl config current-context 2>/dev/null || echo '?')" "$overlay"
}

# --- the steps --------------------------------------------------------------------------------------------------

apply() {
    change kubectl apply --server-side --force-conflicts --field-manager=deploy.sh "$@"
}

# chart RELEASE NAMESPACE CHART VERSION [--repo URL]
chart() {
    local release=$1 namespace=$2 name=$3 version=$4
    shift 4
    change helm upgrade --install "$release" "$name" "$@" --version "$version" --namespace "$namespace" \
        --values "$here/k8s/helm/$release.yaml" --wait --timeout "${timeout}s"
}

# put_secret NAMESPACE NAME DIRECTORY: one file a key. Nothing of it is an argument, or in an annotation.
put_secret() {
    if $dry_run; then
        printf '    + kubectl apply: Secret %s in %s (%s)\n' "$2" "$1" "$(cd "$3" && echo *)"
        return
    fi
    kubectl create secret generic "$2" --namespace "$1" --from-file="$3" --dry-run=client -o yaml |
        kubectl apply --server-side --force-conflicts --field-manager=deploy.sh -f -
}

# secret_from FILE NAME KEY...: in `backend`, unless there is no such file. A key that was left empty is left out.
secret_from() {
    local file=$1 name=$2 key
    shift 2
    [[ -f $file ]] || return 0
    mkdir "$work/$name"
    for key in "$@"; do
        [[ -z $(value_of "$file" "$key") ]] || value_of "$file" "$key" | tr -d '\n' >"$work/$name/$key"
    done
    [[ $name != backend-secret || ! -s $here/yt-cookies.txt ]] || cp "$here/yt-cookies.txt" "$work/$name/YT_COOKIES"
    put_secret backend "$name" "$work/$name"
}

# Hashes, which change with every `butakero keys create`; the service notices.
put_api_keys() {
    [[ -f $here/k8s/secrets/api-keys.json ]] || return 0
    mkdir "$work/audio-api-keys"
    cp "$here/k8s/secrets/api-keys.json" "$work/audio-api-keys/api-keys.json"
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
    secret_from "$backend_env" backend-secret YOUTUBE_API_KEY MONGO_USER MONGO_PASSWORD
    secret_from "$bot_env" discord-bot-secrets DISCORD_TOKEN AUDIO_PROCESSOR_API_KEY
    put_api_keys
    mkdir "$work/audio-password"
    secret_value "$backend_env" backend backend-secret MONGO_PASSWORD | tr -d '\n' >"$work/audio-password/password"
    put_secret mongodb audio-password "$work/audio-password"
    put_mongodb_metrics
}

# wait_for CONDITION NAMESPACE WHAT [--all]
wait_for() {
    change kubectl wait --for="$1" --timeout="${timeout}s" --namespace "${@:2}"
}

databases() {
    change kubectl wait --for=condition=Established --timeout="${timeout}s" \
        crd/certificates.cert-manager.io crd/kafkas.kafka.strimzi.io crd/kafkatopics.kafka.strimzi.io \
        crd/kafkausers.kafka.strimzi.io crd/mongodbcommunity.mongodbcommunity.mongodb.com crd/scaledobjects.keda.sh
    apply -k "$rendered_from" -l 'butakero/part!=application'
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
# pods are replaced when something of it has changed, and only then.
note_configuration() {
    local versions deployment
    versions=$(kubectl get --namespace backend -o 'jsonpath={.items[*].metadata.resourceVersion}' \
        configmap/butakero-config configmap/audio-service-config configmap/discord-bot-config secret/backend-secret \
        secret/discord-bot-secrets secret/backend-client secret/audio-service secret/discord-bot)
    for deployment in "${deployments[@]}"; do
        kubectl patch deployment "$deployment" --namespace backend --field-manager=deploy.sh-configuration --type=merge \
            --patch "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"butakero/configuration\":\"${versions// /-}\"}}}}}"
    done
}

application() {
    apply -k "$rendered_from"
    change note_configuration
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
        printf '    + GET /api/v1/health de svc/audio-processing-service\n'
        return
    fi
    : >"$work/forward"
    kubectl port-forward svc/audio-processing-service :8080 --namespace backend >"$work/forward" 2>&1 &
    forward=$!
    local deadline=$((SECONDS + 30)) status=000
    until [[ -n $(forwarded_port) ]]; do
        kill -0 "$forward" 2>/dev/null || fail "kubectl port-forward terminó: $(tail -n 1 "$work/forward")"
        ((SECONDS < deadline)) || fail "kubectl port-forward no abre el puerto."
        sleep 0.2
    done
    deadline=$((SECONDS + (timeout < 60 ? timeout : 60)))
    while :; do
        status=$(curl --silent --output "$work/health" --write-out '%{http_code}' --max-time 10 \
            "http://127.0.0.1:$(forwarded_port)/api/v1/health" || true)
        if [[ $status == 200 ]] || ((SECONDS >= deadline)); then break; fi
        sleep 0.2
    done
    [[ $status == 200 ]] || fail "/api/v1/health responde $status: $(head -c 600 "$work/health" 2>/dev/null || true)"
    printf '    /api/v1/health: 200\n'
}

deploy() {
    begin "Revisar lo que hace falta" "bash deploy.sh --help" check
    begin "Namespaces" "kubectl get namespaces" apply -k "$here/k8s/namespaces"
    begin "cert-manager" $'kubectl get pods -n cert-manager\nhelm status cert-manager -n cert-manager' \
        chart cert-manager cert-manager cert-manager v1.19.2 --repo https://charts.jetstack.io
    begin "Strimzi" $'kubectl get pods -n kafka\nhelm status strimzi -n kafka' \
        chart strimzi kafka oci://quay.io/strimzi-helm/strimzi-kafka-operator 0.49.1
    begin "Operador de MongoDB" $'kubectl get pods -n mongodb\nhelm status mongodb -n mongodb' \
        chart mongodb mongodb mongodb-kubernetes 1.6.1 --repo https://mongodb.github.io/helm-charts
    begin "KEDA" $'kubectl get pods -n keda\nhelm status keda -n keda' \
        chart keda keda keda 2.17.2 --repo https://kedacore.github.io/charts
    if $monitoring; then
        begin "Prometheus y Grafana" $'kubectl get pods -n monitoring\nhelm status monitoring -n monitoring' \
            chart monitoring monitoring kube-prometheus-stack 78.2.1 --repo https://prometheus-community.github.io/helm-charts
    fi
    begin "Secretos" $'kubectl get secrets -n backend\nkubectl get secret audio-password -n mongodb' put_secrets
    begin "Certificados y recursos de Kafka y MongoDB" \
        $'kubectl get certificates -A\nkubectl describe clusterissuer butakero-ca' databases
    begin "Kafka" $'kubectl describe kafka butakero -n kafka\nkubectl get pods,pvc -n kafka
kubectl get kafkatopics -n kafka\nkubectl get kafkausers -n backend\nkubectl logs deploy/strimzi-cluster-operator -n kafka' kafka_ready
    begin "MongoDB" $'kubectl describe mongodbcommunity butakero-mongodb -n mongodb\nkubectl get pods,pvc -n mongodb
kubectl logs deploy/mongodb-kubernetes-operator -n mongodb' \
        wait_for 'jsonpath={.status.phase}=Running' mongodb mongodbcommunity/butakero-mongodb
    begin "Servicio de audio y bot" $'kubectl get pods,pvc -n backend\nkubectl describe pods -n backend
kubectl logs -n backend deploy/audio-api\nkubectl logs -n backend deploy/audio-processor\nkubectl logs -n backend deploy/discord-bot' application
    if $monitoring && [[ -f $monitors/kustomization.yaml ]]; then
        begin "Reglas y tableros" "kubectl get servicemonitors,prometheusrules -A" apply -k "$monitors"
    fi
    begin "Verificar" $'kubectl port-forward svc/audio-processing-service 8080 -n backend\ncurl http://127.0.0.1:8080/api/v1/health' verify
    if $dry_run; then
        printf '\nNo se cambió nada (--dry-run).\n'
        return
    fi
    printf '\nListo. La API:  kubectl port-forward svc/audio-processing-service 8080 -n backend\n'
    ! $monitoring || printf 'Grafana:        kubectl port-forward svc/grafana 3000 -n monitoring   (clave: kubectl get secret grafana -n monitoring)\n'
}

# --- and back ---------------------------------------------------------------------------------------------------

# What is gone already is as good as deleted, and so is what the cluster has no kind for any more.
delete() {
    if $dry_run; then
        change kubectl delete --ignore-not-found "$@"
        return
    fi
    kubectl delete --ignore-not-found --timeout="${timeout}s" "$@" 2>"$work/said" && return
    if grep -vqE 'no matches for kind|ensure CRDs are installed first|^$' "$work/said"; then
        fail "$(head -n 5 "$work/said")"
    fi
}

release() { # RELEASE NAMESPACE
    change helm uninstall "$1" --namespace "$2" --ignore-not-found --wait --timeout "${timeout}s"
}

remove_monitoring() {
    [[ ! -f $monitors/kustomization.yaml ]] || delete -k "$monitors"
    release monitoring monitoring
}

remove_operators() {
    release keda keda
    release mongodb mongodb
    release strimzi kafka
    release cert-manager cert-manager
}

remove() {
    begin "Revisar lo que hace falta" "bash deploy.sh --help" check
    begin "Quitar el servicio de audio y el bot" "kubectl get all -n backend" \
        delete -k "$rendered_from" -l 'butakero/part=application,butakero/data!=true'
    begin "Quitar Prometheus y Grafana" $'kubectl get all -n monitoring\nhelm list -n monitoring' remove_monitoring
    if ! $delete_data; then
        printf '\nQuedan Kafka, MongoDB, los temas guardados y sus operadores. Con --delete-data también se borran.\n'
        return
    fi
    # While their operators are there to let them go.
    begin "Borrar Kafka, MongoDB y los temas" $'kubectl get kafka,kafkatopics -n kafka\nkubectl get mongodbcommunity -n mongodb' \
        delete -k "$rendered_from"
    begin "Quitar los operadores" "helm list -A" remove_operators
    begin "Borrar los namespaces" "kubectl get namespaces" delete -k "$here/k8s/namespaces"
}

if $uninstall; then remove; else deploy; fi
