# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # its parts share their variables
# The operators, in the order of their installation, and the versions that this repository is written for.
# k8s/pins.json says when each was released; `make check` says when that is too long ago, or has an advisory.

operators=(cert-manager strimzi mongodb keda monitoring)

# The release of Strimzi through which older ones reach the pinned one: it serves the old API and the new.
strimzi_between="0.49.1 … 0.51.0"

# operator NAME: sets what is known of it.
#   title      what people call it
#   namespace  where it is installed
#   chart      and its repository (--repo URL, or nothing for an address)
#   version    pinned
#   earlier    versions that deploy.sh installed before it marked its releases
#   crd        a kind that it brings; `templated` when the chart's templates make it, and not its directory crds/
#   deployment what its Deployment is called, wherever it was installed
operator() {
    repository=() templated=false
    case $1 in
        cert-manager)
            title="cert-manager" namespace=cert-manager chart=cert-manager version=v1.21.1 earlier="v1.19.2"
            repository=(--repo https://charts.jetstack.io)
            crd=certificates.cert-manager.io templated=true deployment='cert-manager'
            ;;
        strimzi)
            title="Strimzi" namespace=kafka chart=oci://quay.io/strimzi-helm/strimzi-kafka-operator version=1.2.0 earlier="0.49.1"
            crd=kafkas.kafka.strimzi.io deployment='strimzi-cluster-operator.*'
            ;;
        mongodb)
            title=$(word operator-mongodb) namespace=mongodb chart=mongodb-kubernetes version=1.10.0 earlier="1.6.1"
            repository=(--repo https://mongodb.github.io/helm-charts)
            crd=mongodbcommunity.mongodbcommunity.mongodb.com deployment='mongodb-kubernetes-operator'
            ;;
        keda)
            title="KEDA" namespace=keda chart=keda version=2.20.2 earlier="2.17.2"
            repository=(--repo https://kedacore.github.io/charts)
            crd=scaledobjects.keda.sh templated=true deployment='keda-operator'
            ;;
        monitoring)
            title=$(word operator-monitoring) namespace=monitoring chart=kube-prometheus-stack version=88.5.3 earlier="78.2.1"
            repository=(--repo https://prometheus-community.github.io/helm-charts)
            crd=servicemonitors.monitoring.coreos.com deployment='.*prometheus.*-operator|.*kube-prom.*-operator'
            ;;
        *) return 1 ;;
    esac
}
