"""`kubectl` and `helm` for tests of deploy.sh: a cluster in one JSON file, which refuses what a real one would refuse.

Run as one of the two names with FAKE_CLUSTER naming a directory: `state.json` is the cluster, `calls.jsonl` what was
asked, and `plan.json` what shall go wrong. Objects need their namespace and, for kinds of operators, the operator's
chart. Nothing is rendered here: the real kubectl does that. Every call is a process of its own, so imports stand where
they are needed.
"""

from __future__ import annotations

import json
import os
import sys
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
CLUSTER_WIDE = {"Namespace", "ClusterIssuer", "ClusterRole", "ClusterRoleBinding"}
MADE_BY_OPERATORS = {"Certificate", "KafkaUser"}
"""Kinds whose operator makes a Secret."""


class Refused(Exception):
    """What the tool prints before it exits with 1."""


def group(api_version: str) -> str:
    return api_version.split("/", maxsplit=1)[0] if "/" in api_version else ""


def selected(thing: Object, selector: str) -> bool:
    labels: dict[str, str] = thing["metadata"].get("labels", {})
    for term in filter(None, selector.split(",")):
        name, _, value = term.replace("!=", "=").partition("=")
        if (labels.get(name) == value) == ("!=" in term):
            return False
    return True


def option(arguments: list[str], *names: str, default: str = "") -> str:
    for position, argument in enumerate(arguments):
        for name in names:
            if argument == name:
                return arguments[position + 1]
            if argument.startswith(f"{name}="):
                return argument.partition("=")[2]
    return default


class Cluster:
    """One call's view of the cluster; `save` keeps it for the next."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "state.json"
        state: Object = json.loads(self._file.read_text()) if self._file.exists() else {}
        self.objects: dict[str, Object] = state.get("objects", {})
        self.releases: dict[str, Object] = state.get("releases", {})
        self.changes: list[str] = state.get("changes", [])
        self.version: int = state.get("version", 0)

    def save(self) -> None:
        state = {"objects": self.objects, "releases": self.releases, "changes": self.changes, "version": self.version}
        self._file.write_text(json.dumps(state))

    @staticmethod
    def key(thing: Object) -> str:
        metadata: Object = thing["metadata"]
        return f"{metadata.get('namespace', '')}/{thing['kind'].lower()}/{metadata['name']}"

    def demand_namespace(self, name: str) -> None:
        if f"/namespace/{name}" not in self.objects:
            raise Refused(f'namespaces "{name}" not found')

    def demand_kind(self, api_version: str, kind: str) -> None:
        chart = CHART_OF_GROUP.get(group(api_version))
        if chart is not None and chart not in self.releases:
            raise Refused(
                f'resource mapping not found: no matches for kind "{kind}" in version "{api_version}"\n'
                "ensure CRDs are installed first"
            )

    def put(self, thing: Object) -> None:
        self.demand_kind(thing["apiVersion"], thing["kind"])
        if thing["kind"] not in CLUSTER_WIDE:
            self.demand_namespace(thing["metadata"]["namespace"])
        key = self.key(thing)
        before = self.objects.get(key)
        if before is None or before["applied"] != thing:
            self.version += 1
            self.changes.append(key)
            patched: Object = before["patched"] if before else {}
            self.objects[key] = {"applied": thing, "patched": patched, "version": self.version}
        if thing["kind"] in MADE_BY_OPERATORS:
            name = thing["spec"].get("secretName", thing["metadata"]["name"])
            self._put_made(thing["metadata"]["namespace"], name)

    def _put_made(self, namespace: str, name: str) -> None:
        if f"{namespace}/secret/{name}" not in self.objects:
            metadata = {"name": name, "namespace": namespace}
            self.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"made": ""}})

    def find(self, namespace: str, what: str) -> Object:
        kind, _, name = what.partition("/")
        try:
            return self.objects[f"{namespace}/{kind}/{name}"]
        except KeyError:
            raise Refused(f'Error from server (NotFound): {kind} "{name}" not found') from None


def remembered(directory: str, suffix: str) -> Path:
    """Return where the rendering of this directory is kept, as long as nothing in k8s/ changes."""
    import hashlib  # noqa: PLC0415 - see the module's docstring

    place = Path(directory)
    root = next(parent for parent in place.parents if parent.name == "k8s")
    seen = hashlib.sha256(str(place.relative_to(root)).encode())
    for file in sorted(root.rglob("*.yaml")):
        seen.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return Path(os.environ["FAKE_MEMORY"]) / f"{seen.hexdigest()}.{suffix}"


def rendered(directory: str) -> str:
    """Ask the real kubectl, once."""
    known = remembered(directory, "yaml")
    if not known.exists():
        import subprocess  # noqa: PLC0415 - as above

        ran = subprocess.run(
            [os.environ["REAL_KUBECTL"], "kustomize", directory], check=False, capture_output=True, text=True
        )
        if ran.returncode != 0:
            raise Refused(ran.stderr)
        known.write_text(ran.stdout)
    return known.read_text()


def render(directory: str) -> list[Object]:
    known = remembered(directory, "json")
    if not known.exists():
        import yaml  # noqa: PLC0415 - as above

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        things = [thing for thing in yaml.load_all(rendered(directory), loader) if thing]
        known.write_text(json.dumps(things))
    return json.loads(known.read_text())


def create_secret(namespace: str, arguments: list[str]) -> None:
    import base64  # noqa: PLC0415 - as above

    directory = Path(option(arguments, "--from-file"))
    if arguments[1:3] != ["secret", "generic"] or "--dry-run=client" not in arguments:
        raise Refused(f"error: unexpected {arguments}")
    data = {file.name: base64.b64encode(file.read_bytes()).decode() for file in sorted(directory.iterdir())}
    metadata = {"name": arguments[3], "namespace": namespace}
    print(json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}))  # noqa: T201 - kubectl's answer


def kubectl(cluster: Cluster, arguments: list[str], plan: Object) -> None:
    verb = arguments[0]
    namespace = option(arguments, "--namespace", "-n")
    answers = {
        "kustomize": lambda: print(rendered(arguments[1])),  # noqa: T201 - kubectl's answer
        "create": lambda: create_secret(namespace, arguments),
        "config": lambda: print("fake"),  # noqa: T201 - as above
        "auth": lambda: None,
        "apply": lambda: apply(cluster, arguments),
        "delete": lambda: delete(cluster, arguments),
        "get": lambda: get(cluster, namespace, arguments),
        "wait": lambda: wait(cluster, namespace, arguments),
        "patch": lambda: patch(cluster, namespace, arguments),
        "rollout": lambda: rollout(cluster, namespace, arguments[2]),
        "port-forward": lambda: forward(cluster, namespace, arguments, plan),
    }
    answers[verb]()


def apply(cluster: Cluster, arguments: list[str]) -> None:
    directory = option(arguments, "-k")
    for thing in render(directory) if directory else [json.load(sys.stdin)]:
        if selected(thing, option(arguments, "-l")):
            cluster.put(thing)


def delete(cluster: Cluster, arguments: list[str]) -> None:
    unknown: list[str] = []
    for thing in render(option(arguments, "-k")):
        if not selected(thing, option(arguments, "-l")):
            continue
        try:
            cluster.demand_kind(thing["apiVersion"], thing["kind"])
        except Refused as refused:
            unknown.append(str(refused))
        key = cluster.key(thing)
        if cluster.objects.pop(key, None) is not None:
            cluster.changes.append(f"-{key}")
        if thing["kind"] == "Namespace":
            inside = f"{thing['metadata']['name']}/"
            cluster.objects = {key: value for key, value in cluster.objects.items() if not key.startswith(inside)}
    if unknown:
        cluster.save()
        raise Refused("\n".join(unknown))


def get(cluster: Cluster, namespace: str, arguments: list[str]) -> None:
    template = option(arguments, "-o")
    if arguments[1].startswith("--raw") or not template:
        return
    if arguments[1] == "secret":
        found = cluster.objects.get(f"{namespace}/secret/{arguments[2]}")
        data: dict[str, str] = found["applied"].get("data", {}) if found else {}
        print(data.get(template.removeprefix("jsonpath={.data.").removesuffix("}"), ""), end="")  # noqa: T201 - as above
        return
    wanted = [argument for argument in arguments if "/" in argument]
    print(" ".join(str(cluster.find(namespace, what)["version"]) for what in wanted), end="")  # noqa: T201 - as above


def wait(cluster: Cluster, namespace: str, arguments: list[str]) -> None:
    for what in (argument for argument in arguments[1:] if not argument.startswith("-")):
        if what.startswith("crd/"):
            api_group = what.partition(".")[2]
            cluster.demand_kind(f"{api_group}/v1", what)
        elif "/" in what:
            cluster.find(namespace, what)
        elif what != namespace and not any(key.startswith(f"{namespace}/{what}/") for key in cluster.objects):
            raise Refused("error: no matching resources found")


def patch(cluster: Cluster, namespace: str, arguments: list[str]) -> None:
    found = cluster.find(namespace, f"{arguments[1]}/{arguments[2]}")
    change: Object = json.loads(option(arguments, "--patch"))
    if found["patched"] != change:
        found["patched"] = change
        cluster.changes.append(f"{namespace}/{arguments[1]}/{arguments[2]}")


def rollout(cluster: Cluster, namespace: str, what: str) -> None:
    """Pods start when everything is there that they mount."""
    deployment = cluster.find(namespace, what)["applied"]
    spec: Object = deployment["spec"]["template"]["spec"]
    cluster.find(namespace, f"serviceaccount/{spec['serviceAccountName']}")
    for volume in spec["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            if not source["secret"].get("optional"):
                cluster.find(namespace, f"secret/{source['secret']['name']}")
        if "persistentVolumeClaim" in volume:
            cluster.find(namespace, f"persistentvolumeclaim/{volume['persistentVolumeClaim']['claimName']}")


def forward(cluster: Cluster, namespace: str, arguments: list[str], plan: Object) -> None:
    service = cluster.find(namespace, arguments[1].replace("svc/", "service/"))["applied"]
    port = service["spec"]["ports"][0]["port"]
    if arguments[2] != f":{port}":
        raise Refused(f"error: Service {service['metadata']['name']} does not have a service port {arguments[2]}")

    import http.server  # noqa: PLC0415 - as above

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(plan.get("health", 200) if self.path == "/api/v1/health" else 404)
            self.end_headers()
            self.wfile.write(b'{"status":"as planned"}')

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        print(f"Forwarding from 127.0.0.1:{server.server_port} -> {port}", flush=True)  # noqa: T201 - as above
        server.serve_forever()


def helm(cluster: Cluster, arguments: list[str]) -> None:
    namespace = option(arguments, "--namespace")
    if arguments[:2] == ["upgrade", "--install"]:
        cluster.demand_namespace(namespace)
        values = Path(option(arguments, "--values")).read_text()
        wanted = {"chart": arguments[3], "version": option(arguments, "--version"), "values": values}
        if cluster.releases.get(arguments[2]) != wanted:
            cluster.releases[arguments[2]] = wanted
            cluster.changes.append(f"helm {arguments[2]}")
    elif cluster.releases.pop(arguments[1], None) is not None:
        cluster.changes.append(f"-helm {arguments[1]}")


def refuse_as_planned(plan: Object, said: str) -> None:
    for part, message in plan.get("fail", {}).items():
        if part in said:
            raise Refused(message)


def verb_changes(arguments: list[str]) -> bool:
    return arguments[0] in {"apply", "delete", "patch", "upgrade", "uninstall"}


def main() -> int:
    directory = Path(os.environ["FAKE_CLUSTER"])
    tool, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    said = " ".join([tool, *arguments])
    with (directory / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(said) + "\n")
    plan: Object = json.loads((directory / "plan.json").read_text())
    try:
        refuse_as_planned(plan, said)
        cluster = Cluster(directory)
        if tool == "helm":
            helm(cluster, arguments)
        else:
            kubectl(cluster, arguments, plan)
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    if verb_changes(arguments):
        cluster.save()
    return 0


def secret(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    """Return a Secret's values in plain text."""
    import base64  # noqa: PLC0415 - as above

    found = cluster.objects.get(f"{namespace}/secret/{name}")
    data: dict[str, str] = found["applied"]["data"] if found else {}
    return {key: base64.b64decode(value or "").decode() for key, value in data.items()}


if __name__ == "__main__":
    sys.exit(main())
