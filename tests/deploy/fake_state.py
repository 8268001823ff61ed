"""The cluster of fake_cluster.py: objects, kinds that operators bring, and Helm's releases, in one JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Object = dict[str, Any]
CHART_OF_GROUP = {
    "cert-manager.io": "cert-manager",
    "kafka.strimzi.io": "strimzi",
    "mongodbcommunity.mongodb.com": "mongodb",
    "keda.sh": "keda",
    "monitoring.coreos.com": "monitoring",
}
KINDS = {
    "cert-manager": {"certificates": "Certificate", "clusterissuers": "ClusterIssuer"},
    "strimzi": {
        "kafkas": "Kafka",
        "kafkanodepools": "KafkaNodePool",
        "kafkatopics": "KafkaTopic",
        "kafkausers": "KafkaUser",
    },
    "mongodb": {"mongodbcommunity": "MongoDBCommunity"},
    "keda": {"scaledobjects": "ScaledObject", "triggerauthentications": "TriggerAuthentication"},
    "monitoring": {
        "servicemonitors": "ServiceMonitor",
        "podmonitors": "PodMonitor",
        "prometheusrules": "PrometheusRule",
    },
}
"""What each chart brings: plural and kind."""
GROUP_OF_CHART = {chart: group for group, chart in CHART_OF_GROUP.items()}
TEMPLATED = {"cert-manager", "keda"}
"""Charts whose templates make their kinds; Helm installs the others' once, from the directory crds/."""
BUILT_IN = {
    "Namespace": "namespaces",
    "Deployment": "deployments.apps",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "PodDisruptionBudget": "poddisruptionbudgets.policy",
    "NetworkPolicy": "networkpolicies.networking.k8s.io",
    "Role": "roles.rbac.authorization.k8s.io",
    "RoleBinding": "rolebindings.rbac.authorization.k8s.io",
}
CLUSTER_WIDE = {"Namespace", "ClusterIssuer", "ClusterRole", "ClusterRoleBinding"}
MADE_BY_OPERATORS = {"Certificate", "KafkaUser"}
"""Kinds whose operator makes a Secret."""
OURS = "app.kubernetes.io/part-of"
_FIRST_STRIMZI_OF_V1 = (0, 49)


class Refused(Exception):
    """What the tool prints before it exits with 1."""


def group(api_version: str) -> str:
    return api_version.split("/", maxsplit=1)[0] if "/" in api_version else ""


def labels_of(thing: Object) -> dict[str, str]:
    return thing["metadata"].get("labels") or {}


def selected(thing: Object, selector: str) -> bool:
    labels = labels_of(thing)
    for term in filter(None, selector.split(",")):
        name, _, value = term.replace("!=", "=").partition("=")
        if (labels.get(name) == value) == ("!=" in term):
            return False
    return True


def served(chart: str, version: str) -> list[str]:
    """Return the API versions of a chart's kinds, the stored one last."""
    if chart == "keda":
        return ["v1alpha1"]
    if chart != "strimzi":
        return ["v1"]
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if numbers < _FIRST_STRIMZI_OF_V1:
        return ["v1beta2"]
    return ["v1", "v1beta2"] if numbers[0] == 0 else ["v1"]


def chart_kinds(chart: str, version: str) -> dict[str, Object]:
    """Return the CRDs of a chart by name: `versions`, and which is `storage`."""
    versions = served(chart, version)
    return {
        f"{plural}.{GROUP_OF_CHART[chart]}": {"versions": versions, "storage": versions[-1]} for plural in KINDS[chart]
    }


class Cluster:
    """One call's view of the cluster; `save` keeps it for the next."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "state.json"
        state: Object = json.loads(self._file.read_text()) if self._file.exists() else {}
        self.objects: dict[str, Object] = state.get("objects", {})
        self.releases: dict[str, Object] = state.get("releases", {})
        self.crds: dict[str, Object] = state.get("crds", {})
        self.changes: list[str] = state.get("changes", [])
        self.version: int = state.get("version", 0)

    def save(self) -> None:
        kept = ("objects", "releases", "crds", "changes", "version")
        self._file.write_text(json.dumps({name: getattr(self, name) for name in kept}))

    @staticmethod
    def key(thing: Object) -> str:
        metadata: Object = thing["metadata"]
        return f"{metadata.get('namespace', '')}/{thing['kind'].lower()}/{metadata['name']}"

    def demand_namespace(self, name: str) -> None:
        if f"/namespace/{name}" not in self.objects:
            raise Refused(f'namespaces "{name}" not found')

    def demand_kind(self, api_version: str, kind: str) -> None:
        chart = CHART_OF_GROUP.get(group(api_version))
        if chart is None:
            return
        plural = next(plural for plural, name in KINDS[chart].items() if name == kind)
        known = self.crds.get(f"{plural}.{group(api_version)}", {"versions": []})
        if api_version.rpartition("/")[2] not in known["versions"]:
            raise Refused(
                f'resource mapping not found: no matches for kind "{kind}" in version "{api_version}"\n'
                "ensure CRDs are installed first"
            )

    def check(self, thing: Object) -> None:
        """Refuse what the API would refuse."""
        self.demand_kind(thing["apiVersion"], thing["kind"])
        if thing["kind"] not in CLUSTER_WIDE:
            self.demand_namespace(thing["metadata"]["namespace"])
        before = self.objects.get(self.key(thing))
        if before and thing["kind"] == "PersistentVolumeClaim":
            old, new = before["applied"]["spec"], thing["spec"]
            for field in ("accessModes", "storageClassName"):
                if old.get(field) != new.get(field):
                    name = thing["metadata"]["name"]
                    raise Refused(f'The PersistentVolumeClaim "{name}" is invalid: spec: Forbidden: spec is immutable')

    def put(self, thing: Object, manager: str = "deploy.sh") -> None:
        self.check(thing)
        key = self.key(thing)
        before: Object = self.objects.get(key, {})
        by: dict[str, Object] = {**before.get("by", {}), manager: thing}
        merged = thing
        if len(by) > 1:
            data = {name: value for one in by.values() for name, value in one.get("data", {}).items()}
            merged = {**before["applied"], **thing, "data": data}
        if before.get("applied") != merged:
            self.version += 1
            self.changes.append(key)
        version = self.version if before.get("applied") != merged else before["version"]
        self.objects[key] = {"applied": merged, "by": by, "version": version}
        if thing["kind"] in MADE_BY_OPERATORS:
            self._put_made(thing)

    def _put_made(self, thing: Object) -> None:
        name, namespace = thing["spec"].get("secretName", thing["metadata"]["name"]), thing["metadata"]["namespace"]
        labels = thing["spec"].get("secretTemplate", {}).get("labels", labels_of(thing))
        if f"{namespace}/secret/{name}" not in self.objects:
            metadata = {"name": name, "namespace": namespace, "labels": labels}
            self.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"made": ""}}, "operator")

    def put_crd(self, name: str, crd: Object) -> None:
        stored: list[str] = self.crds.get(name, {}).get("stored", [])
        for one in stored:
            if one not in crd["versions"]:
                raise Refused(
                    f'CustomResourceDefinition "{name}" is invalid: status.storedVersions[0]: Invalid value: "{one}": '
                    "must appear in spec.versions"
                )
        kept = {"release": self.crds.get(name, {}).get("release", ""), **crd}
        new = {**kept, "stored": stored + [one for one in [crd["storage"]] if one not in stored]}
        if self.crds.get(name) != new:
            self.crds[name] = new
            self.changes.append(f"crd {name}")

    def remove(self, key: str) -> None:
        if self.objects.pop(key, None) is not None:
            self.changes.append(f"-{key}")
        if key.startswith("/namespace/"):
            inside = f"{key.removeprefix('/namespace/')}/"
            self.objects = {name: value for name, value in self.objects.items() if not name.startswith(inside)}

    def find(self, namespace: str, what: str) -> Object:
        kind, _, name = what.partition("/")
        try:
            return self.objects[f"{namespace}/{kind}/{name}"]
        except KeyError:
            raise Refused(f'Error from server (NotFound): {kind} "{name}" not found') from None

    def resources(self) -> dict[str, str]:
        """Return plural name → kind of all that there is."""
        names = {plural: kind for kind, plural in BUILT_IN.items()}
        for crd in self.crds:
            plural, _, api_group = crd.partition(".")
            chart = CHART_OF_GROUP.get(api_group)
            if chart:
                names[crd] = KINDS[chart][plural]
        return names

    def strangers(self, things: list[Object]) -> list[Object]:
        """Return those of these that are there, and neither have our label nor were applied by deploy.sh."""
        there = [self.objects[self.key(thing)] for thing in things if self.key(thing) in self.objects]
        return [
            one["applied"]
            for one in there
            if labels_of(one["applied"]).get(OURS) != "butakero" and "deploy.sh" not in one["by"]
        ]
