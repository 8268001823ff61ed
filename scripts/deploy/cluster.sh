# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # its parts share their variables
# How deploy.sh talks to the cluster: always to the context that it has named, and without changes in a dry run.

# kubectl and helm, to the context that was looked up at the beginning: another terminal may switch it meanwhile.
kubectl() {
    command kubectl "$@" ${context:+"--context=$context"}
}

helm() {
    command helm "$@" ${context:+"--kube-context=$context"}
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
    word error "$1" >&2
    printf '\n' >&2
    exit 1
}

apply() {
    change kubectl apply --server-side --force-conflicts --field-manager=deploy.sh "$@"
}

# wait_for CONDITION NAMESPACE WHAT [--all]
wait_for() {
    change kubectl wait --for="$1" --timeout="${timeout}s" --namespace "${@:2}"
}

in_cluster() { # NAMESPACE NAME KEY: the value, or nothing
    kubectl get secret "$2" --namespace "$1" --ignore-not-found -o "jsonpath={.data.${3//./\\.}}" 2>/dev/null | base64 -d 2>/dev/null || true
}

# put_secret NAMESPACE NAME DIRECTORY [MANAGER]: one file a key. Nothing of it is an argument, or in an annotation.
put_secret() {
    if $dry_run; then
        printf '    + kubectl apply: Secret %s in %s (%s)\n' "$2" "$1" "$(cd "$3" && echo *)"
        return
    fi
    kubectl create secret generic "$2" --namespace "$1" --from-file="$3" --dry-run=client -o yaml |
        kubectl label --local -f - app.kubernetes.io/part-of=butakero -o yaml |
        kubectl apply --server-side --force-conflicts --field-manager="${4:-deploy.sh}" -f -
}

# The namespaces as they are at the beginning: NAME|PART-OF|ENFORCED LEVEL each.
read_namespaces() {
    kubectl get namespaces -o 'jsonpath={range .items[*]}{.metadata.name}|{.metadata.labels.app\.kubernetes\.io/part-of}|{.metadata.labels.pod-security\.kubernetes\.io/enforce}{"\n"}{end}'
}

# namespace_state NAME: "ours", or "foreign LEVEL", or nothing where there is none.
namespace_state() {
    local found
    found=$(grep "^$1|" "$work/namespaces" || true)
    case $found in
        "") ;;
        *"|butakero|"*) printf ours ;;
        *) printf 'foreign %s' "${found##*|}" ;;
    esac
}

namespaces_of_ours() {
    sed -n 's/^  name: //p' "$here/k8s/namespaces/namespaces.yaml"
}
