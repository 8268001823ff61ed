# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # its parts share their variables
# The operators' charts: what is there, whose it is, and how it gets to the pinned version.

# The releases in the cluster: NAME NAMESPACE REVISION STATUS CHART each, ours with "ours" behind.
read_releases() {
    local one marked
    marked=" $(helm list --all-namespaces --deployed --failed --pending --uninstalling --selector butakero=deploy.sh --short | tr '\n' ' ') "
    helm list --all-namespaces --deployed --failed --pending --uninstalling --output json | grep -o '{[^}]*}' >"$work/listed" || true
    while IFS= read -r one; do
        printf '%s %s %s %s %s' "$(field "$one" name)" "$(field "$one" namespace)" "$(field "$one" revision)" \
            "$(field "$one" status)" "$(field "$one" chart)"
        [[ $marked != *" $(field "$one" name) "* ]] || printf ' ours'
        printf '\n'
    done <"$work/listed"
}

field() { # JSON KEY
    sed -n "s/.*\"$2\":\"\{0,1\}\([^\",}]*\).*/\1/p" <<<"$1"
}

existing() { # OPERATOR: whether --use-existing names it
    [[ ,$use_existing, == *",$1,"* ]]
}

wanted() { # OPERATOR
    ! existing "$1" && { [[ $1 != monitoring ]] || $monitoring; }
}

# release_of OPERATOR: sets found_status, found_revision, found_version and found_ours from its release; all empty without one.
release_of() {
    local name where revision status chart_name ours
    found_status="" found_revision="" found_version="" found_ours=false
    operator "$1"
    while read -r name where revision status chart_name ours; do
        [[ $name == "$1" && $where == "$namespace" ]] || continue
        found_status=$status found_revision=$revision found_version=${chart_name#"${chart##*/}-"}
        if [[ $ours == ours || " $earlier " == *" $found_version "* ]]; then found_ours=true; fi
        # Another chart under this name.
        [[ $found_version != "$chart_name" ]] || found_ours=false
    done <"$work/releases"
}

newer() { # A B: whether version A is newer than B
    [[ ${1#v} != "${2#v}" && $(printf '%s\n%s\n' "${1#v}" "${2#v}" | sort -V | tail -n 1) == "${1#v}" ]]
}

# Where an operator of this kind runs that is not the release of that name: namespace/name, or nothing.
elsewhere() { # OPERATOR
    local place release
    while read -r place release; do
        if [[ ${place#*/} =~ ^($deployment)$ && ! ($place == "$namespace"/* && $release == "$1") ]]; then
            printf '%s' "$place"
            return
        fi
    done <"$work/deployments"
    # Its kinds, put there without Helm: the chart could not make them its own.
    if $templated; then
        release=$(kubectl get crd "$crd" --ignore-not-found -o 'jsonpath={.metadata.name} {.metadata.annotations.meta\.helm\.sh/release-name}')
        [[ -z $release || $release == "$crd $1" ]] || printf '%s' "crd/$crd"
    fi
}

# check_operators: a line for each that could not be installed, or brought along, as asked.
check_operators() {
    local name place
    for name in "${operators[@]}"; do
        [[ $name != monitoring ]] || $monitoring || continue
        release_of "$name"
        place=$(elsewhere "$name")
        if existing "$name"; then
            kubectl get crd "$crd" --ignore-not-found -o name | grep -q . || say not-there "$name" "$crd"
            [[ $name != cert-manager || -n $(namespace_state cert-manager) ]] || say namespace-not-there "$name" cert-manager
        elif [[ -n $found_status ]] && ! $found_ours; then
            say foreign-release "$title" "$chart" "$found_version" "$namespace" "$name"
        elif [[ -n $found_status ]] && newer "$found_version" "$version"; then
            say newer-release "$title" "$found_version" "$version" "$name"
        elif [[ -n $place ]]; then
            say foreign-operator "$title" "$place" "$name"
        fi
    done
}

# What will happen to each, as `check` says it.
plan_operators() {
    local name
    for name in "${operators[@]}"; do
        [[ $name != monitoring ]] || $monitoring || continue
        release_of "$name"
        if existing "$name"; then
            note plan-existing "$title"
        elif [[ $found_status == pending-* || $found_status == uninstalling ]]; then
            note plan-recover "$title" "$found_status"
        elif [[ -z $found_status ]]; then
            note plan-install "$title" "$version"
        elif [[ $found_version == "$version" ]]; then
            note plan-same "$title" "$version"
        else
            note plan-upgrade "$title" "$found_version" "$version"
        fi
    done
}

# A run that was cut off in the middle of a Helm step leaves its release pending, and Helm refuses to go on from there.
recover() { # OPERATOR
    case $found_status in
        pending-install | uninstalling)
            change helm uninstall "$1" --namespace "$namespace" --ignore-not-found --wait --timeout "${timeout}s"
            ;;
        pending-*) change helm rollback "$1" --namespace "$namespace" --wait --timeout "${timeout}s" ;;
    esac
}

# Helm installs what is in a chart's crds/ once and never again; what newer resources need would be missing.
apply_crds() {
    if $dry_run; then
        printf '    + helm show crds %s --version %s | kubectl apply --server-side -f -\n' "$chart" "$version"
        return
    fi
    helm show crds "$chart" ${repository[@]+"${repository[@]}"} --version "$version" >"$work/crds"
    grep -q '^kind: CustomResourceDefinition' "$work/crds" || return 0
    settle_stored_versions
    kubectl apply --server-side --force-conflicts --field-manager=deploy.sh -f "$work/crds"
}

# A CRD that no longer has an API version is refused as long as objects may be stored in it. So they are written again in
# the new one first: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
settle_stored_versions() {
    local name new stored one old target
    kubectl create --dry-run=client --validate=false -f "$work/crds" \
        -o 'go-template={{.metadata.name}}{{range .spec.versions}} {{.name}}{{if .storage}}*{{end}}{{end}}{{"\n"}}' >"$work/crd-versions"
    while read -r name new; do
        stored=$(kubectl get crd "$name" --ignore-not-found -o 'jsonpath={.status.storedVersions[*]}')
        for one in $stored; do
            [[ " ${new//\*/} " != *" $one "* ]] || continue
            target=$(grep -o '[^ ]*\*' <<<"$new" | tr -d '*')
            old=$(kubectl get crd "$name" -o 'jsonpath={.spec.versions[*].name}')
            [[ " $old " == *" $target "* ]] || fail "$(word too-old-crds "$name" "$one" "$title $version" "$strimzi_between")"
            store_in "$name" "$target" "$old"
            break
        done
    done <"$work/crd-versions"
}

store_in() { # CRD VERSION VERSIONS-IN-ORDER
    local one number=0 flips=""
    for one in $3; do
        flips+="${flips:+,}{\"op\":\"replace\",\"path\":\"/spec/versions/$number/storage\",\"value\":$([[ $one == "$2" ]] && echo true || echo false)}"
        number=$((number + 1))
    done
    kubectl patch crd "$1" --field-manager=deploy.sh --type=json --patch "[$flips]"
    if [[ -n $(kubectl get "$1" --all-namespaces -o name) ]]; then
        kubectl get "$1" --all-namespaces -o json >"$work/stored"
        kubectl replace -f "$work/stored"
    fi
    kubectl patch crd "$1" --field-manager=deploy.sh --subresource=status --type=merge --patch "{\"status\":{\"storedVersions\":[\"$2\"]}}"
}

install_operator() { # OPERATOR
    release_of "$1"
    recover "$1"
    apply_crds
    change helm upgrade --install "$1" "$chart" ${repository[@]+"${repository[@]}"} --version "$version" \
        --namespace "$namespace" --labels butakero=deploy.sh --values "$here/k8s/helm/$1.yaml" --wait --timeout "${timeout}s"
}
