# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # its parts share their variables
# What is looked at before anything is changed.

oldest_cluster=1.34

# secret_value FILE NAMESPACE NAME KEY: from the file, or from the cluster where there is no file.
secret_value() {
    if [[ -f $1 ]]; then value_of "$1" "$4"; else in_cluster "$2" "$3" "$4"; fi
}

check_secret() { # FILE NAME KEY
    local value
    value=$(secret_value "$1" backend "$2" "$3")
    if [[ -z $value ]]; then
        if [[ -f $1 ]]; then
            say secret-missing "$3" "${1#"$here"/}"
        else
            say secret-file-missing "$3" "${1#"$here"/}" "${1##*/}"
        fi
    elif [[ $value == *CHANGE_ME* ]]; then
        say secret-example "$3" "${1#"$here"/}"
    fi
}

check_secrets() {
    local file user
    for file in "$backend_env" "$bot_env"; do
        [[ ! -f $file ]] || read_dotenv "$file"
    done
    check_secret "$backend_env" backend-secret MONGO_USER
    check_secret "$backend_env" backend-secret MONGO_PASSWORD
    check_secret "$bot_env" discord-bot-secrets DISCORD_TOKEN
    user=$(secret_value "$backend_env" backend backend-secret MONGO_USER)
    # The name stands in the MongoDBCommunity, which cannot read it from a Secret.
    [[ -z $user || $user == *CHANGE_ME* ]] || grep -q "name: $user\$" "$here/k8s/base/mongodb/replica-set.yaml" || say other-user
}

check_tools() {
    local tool
    for tool in kubectl helm curl; do
        type -P "$tool" >/dev/null || say no-tool "$tool"
    done
}

check_cluster() {
    if ! kubectl get --raw=/readyz --request-timeout=15s >/dev/null 2>"$work/said"; then
        say no-answer "$context" "$(head -n 1 "$work/said")"
        return
    fi
    local version
    version=$(kubectl get --raw=/version 2>/dev/null | tr -d ' \n' | sed -n 's/.*"gitVersion":"v\([0-9]*\.[0-9]*\).*/\1/p')
    [[ -z $version ]] || ! newer "$oldest_cluster" "$version" || say old-cluster "$version" "$oldest_cluster"
}

check_overlay() {
    if [[ ! -f $rendered_from/kustomization.yaml ]]; then
        say no-overlay "$overlay" "$(cd "$here/k8s/overlays" && echo *)"
    elif ! command kubectl kustomize "$rendered_from" >"$work/rendered" 2>"$work/said"; then
        say overlay-broken "$overlay" "$(head -n 1 "$work/said")"
    elif ! $uninstall && grep -q CHANGE_ME "$work/rendered"; then
        say overlay-open "$overlay" "$(grep -rhE '^[^#]*CHANGE_ME' "$rendered_from" | sed -E 's/^[ -]*//' | sort -u | paste -sd ';' -)"
    fi
}

check_rights() {
    kubectl auth can-i create clusterroles --quiet >/dev/null 2>&1 || say no-rights
}

level_number() {
    case $1 in restricted) echo 2 ;; baseline) echo 1 ;; *) echo 0 ;; esac
}

# Namespaces that are not needed: of operators that are there, and of monitoring that is not wanted.
skipped() { # NAMESPACE
    case $1 in
        cert-manager | keda) existing "$1" ;;
        monitoring) ! $monitoring ;;
        *) false ;;
    esac
}

# A namespace that was there before keeps its labels; where they allow less than is needed, nothing is begun.
check_namespaces() {
    local name state needed
    for name in $(namespaces_of_ours); do
        if skipped "$name" || { [[ $name == monitoring ]] && existing monitoring; }; then continue; fi
        state=$(namespace_state "$name")
        [[ $state == foreign* ]] || continue
        needed=$(sed -n "/^  name: $name\$/,/^---/s/.*enforce: //p" "$here/k8s/namespaces/namespaces.yaml")
        (($(level_number "${state#foreign }") <= $(level_number "$needed"))) || say strict-namespace "$name" "${state#foreign }" "$needed"
    done
}

# Whose objects: prints those that lack our label and were never applied by this script.
# shellcheck disable=SC2016 # the variables are the template's
strangers_template='{{define "one"}}{{$ours := false}}
{{- with .metadata.labels}}{{if eq (printf "%v" (index . "app.kubernetes.io/part-of")) "butakero"}}{{$ours = true}}{{end}}{{end}}
{{- range .metadata.managedFields}}{{if eq .manager "deploy.sh"}}{{$ours = true}}{{end}}{{end}}
{{- if not $ours}}{{.kind}} {{with .metadata.namespace}}{{.}}/{{end}}{{.metadata.name}}{{"\n"}}{{end}}{{end}}
{{- if .items}}{{range .items}}{{template "one" .}}{{end}}{{else if .metadata.name}}{{template "one" .}}{{end}}'

# What would be overwritten though it belongs to someone else. Kinds that the cluster does not have yet are none.
check_strangers() {
    [[ -s $work/rendered ]] || return 0
    local one file name
    {
        kubectl get -f "$work/rendered" --ignore-not-found --show-managed-fields -o "go-template=$strangers_template" 2>/dev/null || true
        for one in "$backend_env:backend-secret" "$bot_env:discord-bot-secrets" "$api_keys:audio-api-keys"; do
            file=${one%:*} name=${one##*:}
            [[ ! -f $file ]] || kubectl get secret "$name" --namespace backend --ignore-not-found --show-managed-fields \
                -o "go-template=$strangers_template" 2>/dev/null || true
        done
    } | while read -r one; do say stranger "$one"; done
}

# A claim's class and access modes, and much of what else holds data, cannot be changed afterwards: the cluster is asked.
check_immutable() {
    [[ -n $(namespace_state backend) ]] || return 0
    kubectl apply --server-side --force-conflicts --field-manager=deploy.sh --dry-run=server -f "$work/rendered" \
        -l 'butakero/data=true,butakero/part=application' >/dev/null 2>"$work/said" ||
        say immutable "$overlay" "$(head -n 1 "$work/said")"
}

# One line for each thing that is missing. What needs kubectl, or a cluster, is asked only where there is one.
missing() {
    check_tools
    type -P kubectl >/dev/null || return 0
    check_overlay
    local answer
    answer=$(check_cluster)
    if [[ -n $answer ]]; then
        printf '%s\n' "$answer"
    elif ! $uninstall; then
        check_rights
        look_around
        ! type -P helm >/dev/null || check_operators
        check_namespaces
        check_strangers
        [[ ! -s $work/rendered ]] || check_immutable
    fi
    $uninstall || check_secrets
}

# What checks, plans and the removal are made from.
look_around() {
    read_namespaces >"$work/namespaces"
    ! type -P helm >/dev/null || read_releases >"$work/releases"
    kubectl get deployments --all-namespaces -o \
        'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.metadata.annotations.meta\.helm\.sh/release-name}{"\n"}{end}' \
        >"$work/deployments"
}

# Sets context and server: what everything is done to.
look_up_context() {
    if [[ -n $context ]]; then
        command kubectl config get-contexts "$context" -o name >/dev/null 2>&1 || fail "$(word no-context "$context")"
    else
        context=$(command kubectl config current-context 2>/dev/null || true)
    fi
    server=$(kubectl config view --minify -o 'jsonpath={.clusters[0].cluster.server}' 2>/dev/null || true)
}

check() {
    ! type -P kubectl >/dev/null || look_up_context
    missing >"$work/missing"
    if [[ -s $work/missing ]]; then
        say missing >&2
        sed 's/^/  - /' "$work/missing" >&2
        exit 1
    fi
    note cluster "${context:-?}" "${server:-?}" "$overlay"
    if $uninstall; then
        look_around
    else
        plan_operators
        plan_namespaces
    fi
    $dry_run || confirm
}

plan_namespaces() {
    local name state
    for name in $(namespaces_of_ours); do
        ! skipped "$name" || continue
        state=$(namespace_state "$name")
        if [[ -z $state ]]; then note plan-namespace "$name"; elif [[ $state == foreign* ]]; then note keep-namespace "$name"; fi
    done
}

# Nothing is changed before a person has seen which cluster it is. Deleting data wants its name, typed here or as --context.
confirm() {
    local answer=""
    if $delete_data; then
        if ! $confirmed || [[ -z $context_given ]]; then
            printf '    %s' "$(word ask-context "${context:-?}" "${server:-?}")" >&2
            read -r answer || printf '\n' >&2
            [[ -n $answer && $answer == "${context:-$server}" ]] || fail "$(word other-context "$answer")"
        fi
        return
    fi
    ! $confirmed || return 0
    if $uninstall; then word ask-remove "${context:-?}" "${server:-?}"; else word ask-deploy "${context:-?}" "${server:-?}"; fi >&2
    read -r answer || printf '\n' >&2
    case $answer in
        [sSyY] | [sS][iI] | [sS]í | [yY][eE][sS]) ;;
        *) fail "$(word not-confirmed)" ;;
    esac
}
