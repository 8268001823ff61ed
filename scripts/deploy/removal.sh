# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # its parts share their variables
# The way back: what carries the label that deploy.sh gives, and nothing else.

ours=app.kubernetes.io/part-of=butakero
# Kinds that deploy.sh makes, those first whose operator must still be there to let them go.
kinds_of_topics=(kafkatopics.kafka.strimzi.io kafkausers.kafka.strimzi.io)
kinds_of_data=(
    kafkas.kafka.strimzi.io kafkanodepools.kafka.strimzi.io mongodbcommunity.mongodbcommunity.mongodb.com
    certificates.cert-manager.io
)
kinds=(
    scaledobjects.keda.sh triggerauthentications.keda.sh deployments.apps services poddisruptionbudgets.policy
    networkpolicies.networking.k8s.io rolebindings.rbac.authorization.k8s.io roles.rbac.authorization.k8s.io
    serviceaccounts configmaps secrets persistentvolumeclaims
)
kinds_of_monitoring=(
    servicemonitors.monitoring.coreos.com podmonitors.monitoring.coreos.com prometheusrules.monitoring.coreos.com
    configmaps secrets
)

# known KIND...: those that the cluster has, with commas between.
known() {
    local kind found=""
    [[ -s $work/kinds ]] || kubectl api-resources --verbs=delete -o name >"$work/kinds"
    for kind in "$@"; do
        grep -qxF "$kind" "$work/kinds" && found+="${found:+,}$kind"
    done
    printf '%s' "$found"
}

# remove_labelled SELECTOR NAMESPACE KIND...
remove_labelled() {
    local selector=$1 where=$2 list
    shift 2
    list=$(known "$@")
    [[ -n $list ]] || return 0
    [[ -n $(namespace_state "$where") ]] || return 0
    change kubectl delete "$list" --namespace "$where" --selector "$selector" --ignore-not-found --timeout="${timeout}s"
}

remove_application() {
    remove_labelled "$ours,butakero/part=application,butakero/data!=true" backend "${kinds[@]}"
}

remove_monitoring() {
    local name
    for name in monitoring mongodb; do
        remove_labelled "$ours,butakero/part=monitoring" "$name" "${kinds_of_monitoring[@]}"
    done
    remove_release monitoring
}

remove_release() { # OPERATOR
    release_of "$1"
    [[ -n $found_status ]] || return 0
    if existing "$1" || ! $found_ours; then
        note release-stays "$title"
        return
    fi
    change helm uninstall "$1" --namespace "$namespace" --ignore-not-found --wait --timeout "${timeout}s"
}

# Topics before the Kafka whose operator lets them go. Where that is gone already, nothing else will.
remove_topics() {
    remove_labelled "$ours" kafka "${kinds_of_topics[@]}" && remove_labelled "$ours" backend "${kinds_of_topics[@]}" && return
    note topics-stuck
    local one
    for one in $(kubectl get kafkatopics.kafka.strimzi.io --namespace kafka --selector "$ours" -o name); do
        kubectl patch "$one" --namespace kafka --type=merge --patch '{"metadata":{"finalizers":null}}'
    done
}

remove_data() {
    remove_topics
    local name list
    for name in kafka mongodb backend cert-manager; do
        remove_labelled "$ours" "$name" "${kinds_of_data[@]}" "${kinds[@]}"
    done
    # Their operators leave the volumes.
    remove_labelled strimzi.io/cluster=butakero kafka persistentvolumeclaims
    remove_labelled app=butakero-mongodb-svc mongodb persistentvolumeclaims
    list=$(known clusterissuers.cert-manager.io)
    [[ -z $list ]] || change kubectl delete "$list" --selector "$ours" --ignore-not-found --timeout="${timeout}s"
}

remove_operators() {
    local name
    for name in keda mongodb strimzi cert-manager; do
        remove_release "$name"
    done
}

# What Kubernetes and the operators leave in a namespace by themselves.
left_by_itself='^(configmap/(kube-root-ca\.crt|openshift-service-ca\.crt|strimzi-.*|butakero-.*)|serviceaccount/(default|builder|deployer|mongodb-kubernetes-.*)|secret/(default-.*|.*-token-.*|cert-manager-.*|kedaorg-certs|butakero-.*|audio-.*|mongodb-.*|monitoring-.*|sh\.helm\.release\..*|.*-dockercfg-.*)|lease\.coordination\.k8s\.io/.*|persistentvolumeclaim/(prometheus-|alertmanager-)monitoring-.*|role.*/mongodb-kubernetes-.*)$'

# strangers_in NAMESPACE: what in it is not ours, a word each.
strangers_in() {
    local list
    # Events, and what is a part of something else, or made of it, are nobody's own.
    list=$(kubectl api-resources --namespaced --verbs=list,delete -o name | grep -vE '^(events|endpoints|pods|replicasets|endpointslices|controllerrevisions)(\.|$)|\.metrics\.k8s\.io$' | paste -sd , -)
    kubectl get "$list" --namespace "$1" --selector 'app.kubernetes.io/part-of!=butakero' --ignore-not-found \
        -o 'go-template={{range .items}}{{if not .metadata.ownerReferences}}{{.kind}}/{{.metadata.name}}{{"\n"}}{{end}}{{end}}' |
        while IFS=/ read -r kind name; do printf '%s/%s\n' "$(tr '[:upper:]' '[:lower:]' <<<"$kind")" "$name"; done |
        sed 's,^lease/,lease.coordination.k8s.io/,' | grep -vE "$left_by_itself" || true
}

remove_namespaces() {
    local name state others
    for name in $(namespaces_of_ours); do
        ! skipped "$name" || continue
        state=$(namespace_state "$name")
        [[ $state == ours ]] || continue
        others=$(strangers_in "$name")
        if [[ -n $others ]]; then
            note namespace-stays "$name" "$(head -n 3 <<<"$others" | paste -sd ' ' -)"
        else
            change kubectl delete namespace "$name" --ignore-not-found --timeout="${timeout}s"
        fi
    done
}

remove() {
    begin step-check "bash deploy.sh --help" check
    begin step-remove-application "kubectl get all -n backend" remove_application
    if $monitoring; then
        begin step-remove-monitoring $'kubectl get all -n monitoring\nhelm list -n monitoring' remove_monitoring
    fi
    if ! $delete_data; then
        printf '\n%s\n' "$(word data-stays)"
        return
    fi
    # While their operators are there to let them go.
    begin step-remove-data $'kubectl get kafka,kafkatopics -n kafka\nkubectl get mongodbcommunity -n mongodb' remove_data
    begin step-remove-operators "helm list -A" remove_operators
    begin step-remove-namespaces "kubectl get namespaces" remove_namespaces
}
