"""`kubectl` and `helm` for tests of deploy.sh: a cluster in one JSON file, which refuses what a real one would refuse.

deploy.sh calls two short scripts, which hand their arguments to a server in the test process (`serving`): `state.json`
is the cluster, `calls.jsonl` what was asked, and `plan.json` what shall go wrong. Objects need their namespace and, for
kinds of operators, the operator's chart. Nothing is rendered here: the real kubectl does that.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import socketserver
import subprocess
import sys
import threading
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.fake_state import OURS, TEMPLATED, Cluster, Object, Refused, chart_kinds, labels_of, selected

_RELEASE_OF = {
    "oci://quay.io/strimzi-helm/strimzi-kafka-operator": "strimzi",
    "mongodb-kubernetes": "mongodb",
    "kube-prometheus-stack": "monitoring",
    "cert-manager": "cert-manager",
    "keda": "keda",
}
FINALIZED_BY_KAFKA = "KafkaTopic"
STUB = """#!{bash}
# Hands the arguments, and what comes in where it is asked for, to the server of the test.
LC_ALL=C
input=""
for argument in "$@"; do [[ $argument != - ]] || input=$(cat); done
exec 3<>/dev/tcp/127.0.0.1/{port}
printf '%s\\0' "$#" "$input" "${{0##*/}}" "$@" >&3
IFS= read -r code <&3
IFS= read -r length <&3
IFS= read -r -N "$length" said <&3
printf '%s' "$said" >&2
[[ $code != 0 ]] || exec cat <&3
cat <&3
exit "$code"
"""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KUBECTL = Path(sys.executable).with_name("kubectl")


class _Call(threading.local):
    """What the call of this thread was given on its standard input, and what it has printed."""

    stdin = ""
    printed = ""


_call = _Call()


def standard_input() -> str:
    if not _call.stdin:
        raise Refused("error: no objects passed")
    return _call.stdin


def say(text: str) -> None:
    _call.printed += text


def option(arguments: list[str], *names: str, default: str = "") -> str:
    for position, argument in enumerate(arguments):
        for name in names:
            if argument == name:
                return arguments[position + 1]
            if argument.startswith(f"{name}="):
                return argument.partition("=")[2]
    return default


def rendered(directory: str) -> str:
    """Ask the real kubectl, once as long as nothing in k8s/ changes."""
    place = Path(directory)
    root = next(parent for parent in place.parents if parent.name == "k8s")
    seen = hashlib.sha256()
    for file in sorted(root.rglob("*.yaml")):
        seen.update(str(file.relative_to(root)).encode() + file.read_bytes())
    known = (str(place.relative_to(root)), seen.digest())
    if known not in _renderings:
        ran = subprocess.run([str(_KUBECTL), "kustomize", directory], check=False, capture_output=True, text=True)
        if ran.returncode != 0:
            raise Refused(ran.stderr)
        _renderings[known] = ran.stdout
    return _renderings[known]


_renderings: dict[tuple[str, bytes], str] = {}


@cache
def _loaded(text: str) -> str:
    return json.dumps([thing for thing in yaml.load_all(text, _LOADER) if thing])


def loaded(text: str) -> list[Object]:
    return json.loads(_loaded(text))


def things_of(arguments: list[str]) -> list[Object]:
    """Return what -k or -f names."""
    if directory := option(arguments, "-k"):
        return loaded(rendered(directory))
    file = option(arguments, "-f")
    return loaded(standard_input() if file == "-" else Path(file).read_text())


def create(namespace: str, arguments: list[str]) -> None:
    if "--dry-run=client" not in arguments:
        raise Refused(f"error: unexpected {arguments}")
    if arguments[1:3] != ["secret", "generic"]:
        for crd in things_of(arguments):
            spec = crd["spec"]["versions"]
            say(" ".join([crd["metadata"]["name"], *(one["name"] + "*" * one["storage"] for one in spec)]) + "\n")
        return
    directory = Path(option(arguments, "--from-file"))
    data = {file.name: base64.b64encode(file.read_bytes()).decode() for file in sorted(directory.iterdir())}
    metadata = {"name": arguments[3], "namespace": namespace}
    say(json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}))


def label(arguments: list[str]) -> None:
    """Only `label --local -f - NAME=VALUE`."""
    thing = json.loads(standard_input())
    name, _, value = arguments[4].partition("=")
    thing["metadata"]["labels"] = {name: value}
    say(json.dumps(thing))


def config(arguments: list[str], plan: Object) -> None:
    context = plan.get("context", "fake")
    if arguments[1] == "get-contexts" and arguments[2] not in (context, *plan.get("contexts", [])):
        raise Refused(f"error: context {arguments[2]} not found")
    say("https://fake.example:6443" if arguments[1] == "view" else f"{context}\n")


def kubectl(cluster: Cluster, arguments: list[str], plan: Object) -> None:
    verb = arguments[0]
    namespace = option(arguments, "--namespace", "-n")
    answers = {
        "kustomize": lambda: say(rendered(arguments[1])),
        "create": lambda: create(namespace, arguments),
        "label": lambda: label(arguments),
        "config": lambda: config(arguments, plan),
        "auth": lambda: None,
        "api-resources": lambda: say("".join(f"{name}\n" for name in cluster.resources())),
        "apply": lambda: apply(cluster, arguments),
        "replace": lambda: None,
        "delete": lambda: delete(cluster, namespace, arguments),
        "get": lambda: get(cluster, namespace, arguments, plan),
        "wait": lambda: wait(cluster, namespace, arguments),
        "patch": lambda: patch(cluster, namespace, arguments),
        "rollout": lambda: rollout(cluster, namespace, arguments[2]),
    }
    answers[verb]()


def apply(cluster: Cluster, arguments: list[str]) -> None:
    for thing in things_of(arguments):
        if not selected(thing, option(arguments, "-l")):
            continue
        if "--dry-run=server" in arguments:
            cluster.check(thing)
        elif thing["kind"] == "CustomResourceDefinition":
            versions = thing["spec"]["versions"]
            (storage,) = [one["name"] for one in versions if one["storage"]]
            cluster.put_crd(
                thing["metadata"]["name"], {"versions": [one["name"] for one in versions], "storage": storage}
            )
        else:
            cluster.put(thing, option(arguments, "--field-manager"))


def delete(cluster: Cluster, namespace: str, arguments: list[str]) -> None:
    if arguments[1] == "namespace":
        cluster.remove(f"/namespace/{arguments[2]}")
        return
    known = cluster.resources()
    for resource in arguments[1].split(","):
        if resource not in known:
            raise Refused(f'error: the server doesn\'t have a resource type "{resource}"')
        for key, one in list(cluster.objects.items()):
            thing = one["applied"]
            here = key.startswith(f"{namespace}/") and thing["kind"] == known[resource]
            if not here or not selected(thing, option(arguments, "--selector")):
                continue
            if thing["kind"] == FINALIZED_BY_KAFKA and "kafka/kafka/butakero" not in cluster.objects:
                cluster.save()
                raise Refused(f"error: timed out waiting for the condition on {resource}/{thing['metadata']['name']}")
            cluster.remove(key)


def get(cluster: Cluster, namespace: str, arguments: list[str], plan: Object) -> None:
    what, output = arguments[1], option(arguments, "-o")
    if what.startswith("--raw"):
        say(json.dumps({"gitVersion": plan.get("cluster", "v1.35.0")}) if "version" in what else "ok")
    elif what == "-f":
        say(named(cluster.strangers(things_of(arguments))))
    elif what == "namespaces":
        say(namespaces(cluster))
    elif what == "deployments":
        say("".join(f"{place}\n" for place in deployments(cluster)))
    elif what == "crd":
        get_crd(cluster, arguments[2], output)
    elif what == "secret":
        get_secret(cluster, namespace, arguments[2], output)
    elif "," in what:
        say(others(cluster, namespace, option(arguments, "--selector")))
    elif what in cluster.crds:
        kind = cluster.resources()[what]
        there = [
            one["applied"]["metadata"]["name"] for one in cluster.objects.values() if one["applied"]["kind"] == kind
        ]
        say(
            "".join(f"{kind.lower()}.{what.partition('.')[2]}/{name}\n" for name in there) if output == "name" else "{}"
        )
    elif output:
        wanted = [argument for argument in arguments if "/" in argument]
        say(" ".join(str(cluster.find(namespace, what)["version"]) for what in wanted))


def named(things: list[Object]) -> str:
    """Return what the template of strangers prints."""
    lines: list[str] = []
    for thing in things:
        namespace = thing["metadata"].get("namespace")
        lines.append(f"{thing['kind']} {namespace + '/' if namespace else ''}{thing['metadata']['name']}\n")
    return "".join(lines)


def others(cluster: Cluster, namespace: str, selector: str) -> str:
    things = [one["applied"] for key, one in cluster.objects.items() if key.startswith(f"{namespace}/")]
    return "".join(f"{one['kind']}/{one['metadata']['name']}\n" for one in things if selected(one, selector))


def namespaces(cluster: Cluster) -> str:
    lines: list[str] = []
    for one in cluster.objects.values():
        if one["applied"]["kind"] == "Namespace":
            labels = labels_of(one["applied"])
            part, level = (labels.get(name, "") for name in (OURS, "pod-security.kubernetes.io/enforce"))
            lines.append(f"{one['applied']['metadata']['name']}|{part}|{level}\n")
    return "".join(lines)


def deployments(cluster: Cluster) -> list[str]:
    """Return namespace/name and the release of each; operators' own come with their releases."""
    there = [one["applied"]["metadata"] for one in cluster.objects.values() if one["applied"]["kind"] == "Deployment"]
    places = [f"{one['namespace']}/{one['name']} " for one in there]
    operators = {"strimzi": "strimzi-cluster-operator", "mongodb": "mongodb-kubernetes-operator"}
    operators |= {"keda": "keda-operator", "monitoring": "monitoring-kube-prometheus-operator"}
    for name, release in cluster.releases.items():
        places.append(f"{release['namespace']}/{operators.get(name, name)} {name}")
    return places


def get_crd(cluster: Cluster, name: str, output: str) -> None:
    crd = cluster.crds.get(name)
    if crd is None:
        return
    if "storedVersions" in output:
        say(" ".join(crd["stored"]))
    elif "spec.versions" in output:
        say(" ".join(crd["versions"]))
    else:
        say(f"{name} {crd['release']}".rstrip() if "release-name" in output else name)


def get_secret(cluster: Cluster, namespace: str, name: str, output: str) -> None:
    found = cluster.objects.get(f"{namespace}/secret/{name}")
    if output.startswith("go-template"):
        say(named(cluster.strangers([found["applied"]])) if found else "")
        return
    data: dict[str, str] = found["applied"].get("data", {}) if found else {}
    say(data.get(output.removeprefix("jsonpath={.data.").removesuffix("}").replace("\\.", "."), ""))


def wait(cluster: Cluster, namespace: str, arguments: list[str]) -> None:
    for what in (argument for argument in arguments[1:] if not argument.startswith("-")):
        if what.startswith("crd/"):
            if what.removeprefix("crd/") not in cluster.crds:
                raise Refused(f'Error from server (NotFound): "{what}" not found')
        elif "/" in what:
            cluster.find(namespace, what)
        elif what != namespace and not any(key.startswith(f"{namespace}/{what}/") for key in cluster.objects):
            raise Refused("error: no matching resources found")


def patch(cluster: Cluster, namespace: str, arguments: list[str]) -> None:
    change = json.loads(option(arguments, "--patch"))
    if arguments[1] == "crd":
        crd = cluster.crds[arguments[2]]
        if "--subresource=status" in arguments:
            crd["stored"] = change["status"]["storedVersions"]
        else:
            crd["storage"] = next(crd["versions"][int(one["path"].split("/")[3])] for one in change if one["value"])
            crd["stored"] = sorted({*crd["stored"], crd["storage"]})
        cluster.changes.append(f"crd {arguments[2]}")
        return
    found = cluster.find(namespace, arguments[1].replace("kafkatopic.kafka.strimzi.io", "kafkatopic"))
    if change == {"metadata": {"finalizers": None}}:
        cluster.remove(cluster.key(found["applied"]))


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


@contextlib.contextmanager
def forwarded(cluster: Cluster, arguments: list[str], plan: Object) -> Generator[str]:
    """Serve the health endpoint, and say where, as `kubectl port-forward` does."""
    namespace = option(arguments, "--namespace")
    service = cluster.find(namespace, arguments[1].replace("svc/", "service/"))["applied"]
    port = service["spec"]["ports"][0]["port"]
    if arguments[2] != f":{port}":
        raise Refused(f"error: Service {service['metadata']['name']} does not have a service port {arguments[2]}")

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(plan.get("health", 200) if self.path == "/api/v1/health" else 404)
            self.end_headers()
            self.wfile.write(b'{"status":"as planned"}')

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's
            """Stay silent."""

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"Forwarding from 127.0.0.1:{server.server_port} -> {port}\n"
        finally:
            server.shutdown()
            thread.join()


def helm(cluster: Cluster, arguments: list[str]) -> None:
    namespace = option(arguments, "--namespace")
    verb = arguments[0]
    if verb == "list":
        list_releases(cluster, arguments)
    elif verb == "show":
        show_crds(arguments)
    elif verb == "upgrade":
        upgrade(cluster, namespace, arguments)
    elif verb == "rollback":
        release = cluster.releases[arguments[1]]
        cluster.releases[arguments[1]] = {**release["before"], "status": "deployed"}
        cluster.changes.append(f"rolled back {arguments[1]}")
    elif cluster.releases.pop(arguments[1], None) is not None:
        cluster.changes.append(f"-helm {arguments[1]}")
        if arguments[1] == "keda":
            cluster.crds = {name: crd for name, crd in cluster.crds.items() if crd["release"] != "keda"}


def list_releases(cluster: Cluster, arguments: list[str]) -> None:
    marked = "--selector" in arguments
    found = {name: one for name, one in cluster.releases.items() if not marked or one["marked"]}
    if "--short" in arguments:
        say("".join(f"{name}\n" for name in found))
        return
    rows: list[dict[str, Any]] = []
    for name, one in found.items():
        chart = f"{one['chart'].rpartition('/')[2]}-{one['version']}"
        place = {"name": name, "namespace": one["namespace"], "revision": "1", "updated": "2026-01-01 00:00:00 +0000"}
        rows.append({**place, "status": one.get("status", "deployed"), "chart": chart, "app_version": one["version"]})
    say(json.dumps(rows, separators=(",", ":")))


def show_crds(arguments: list[str]) -> None:
    release = _RELEASE_OF[arguments[2]]
    if release in TEMPLATED:
        return
    for name, crd in chart_kinds(release, option(arguments, "--version")).items():
        versions = [{"name": one, "storage": one == crd["storage"]} for one in crd["versions"]]
        spec = json.dumps({"versions": versions})
        say(f"---\nkind: CustomResourceDefinition\nmetadata: {{ name: {name} }}\nspec: {spec}\n")


def upgrade(cluster: Cluster, namespace: str, arguments: list[str]) -> None:
    name, version = arguments[2], option(arguments, "--version")
    cluster.demand_namespace(namespace)
    before = cluster.releases.get(name)
    if before and before.get("status", "deployed").startswith("pending"):
        raise Refused("Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress")
    values = Path(option(arguments, "--values")).read_text()
    wanted = {"chart": arguments[3], "version": version, "values": values, "namespace": namespace, "marked": True}
    for crd, spec in chart_kinds(name, version).items():
        there = cluster.crds.get(crd)
        if name in TEMPLATED and there and there["release"] not in ("", name):
            raise Refused(f'Error: unable to continue with install: CustomResourceDefinition "{crd}" exists')
        if name in TEMPLATED or (there is None and before is None):
            cluster.put_crd(crd, {**spec, "release": name if name in TEMPLATED else ""})
    if before != wanted:
        cluster.releases[name] = wanted
        cluster.changes.append(f"helm {name}")


def refuse_as_planned(plan: Object, said: str) -> None:
    for part, message in plan.get("fail", {}).items():
        if part in said:
            raise Refused(message)


def verb_changes(arguments: list[str]) -> bool:
    changing = {"apply", "delete", "patch", "replace", "upgrade", "uninstall", "rollback"}
    return arguments[0] in changing and "--dry-run=server" not in arguments


def answer(directory: Path, tool: str, arguments: list[str]) -> int:
    """Carry out one call, and return its exit code."""
    said = " ".join([tool, *arguments])
    with (directory / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(said) + "\n")
    plan: Object = json.loads((directory / "plan.json").read_text())
    refuse_as_planned(plan, said)
    cluster = Cluster(directory)
    if tool == "helm":
        helm(cluster, arguments)
    else:
        kubectl(cluster, arguments, plan)
    if verb_changes(arguments):
        cluster.save()
    return 0


class _Handler(socketserver.StreamRequestHandler):
    """One call: the number of arguments, standard input, the tool's name and the arguments, with NUL behind each."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        count = int(self._part())
        _call.stdin, _call.printed = self._part(), ""
        tool, *arguments = [self._part() for _ in range(count + 1)]
        try:
            if arguments[0] == "port-forward":
                self._forward(server.directory, arguments)
                return
            with server.one_at_a_time:
                answer(server.directory, tool, arguments)
            self._reply(0, "", _call.printed)
        except Refused as refused:
            self._reply(1, f"{refused}\n", _call.printed)

    def _part(self) -> str:
        read = bytearray()
        while (byte := self.rfile.read(1)) != b"\0":
            assert byte, "the call ended early"
            read += byte
        return read.decode()

    def _reply(self, code: int, error: str, output: str) -> None:
        self.wfile.write(f"{code}\n{len(error.encode())}\n{error}{output}".encode())

    def _forward(self, directory: Path, arguments: list[str]) -> None:
        with (directory / "calls.jsonl").open("a") as calls:
            calls.write(json.dumps(" ".join(["kubectl", *arguments])) + "\n")
        plan: Object = json.loads((directory / "plan.json").read_text())
        refuse_as_planned(plan, " ".join(arguments))
        with forwarded(Cluster(directory), arguments, plan) as told:
            self._reply(0, "", told)
            self.rfile.read(1)  # until the script ends it


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 32
    daemon_threads = True
    directory: Path
    one_at_a_time: threading.Lock


@contextlib.contextmanager
def serving(directory: Path) -> Generator[int]:
    """Serve the cluster in `directory`; yields the port that the scripts (STUB) call."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.directory, server.one_at_a_time = directory, threading.Lock()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def secret(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    """Return a Secret's values in plain text."""
    found = cluster.objects.get(f"{namespace}/secret/{name}")
    data: dict[str, str] = found["applied"]["data"] if found else {}
    return {key: base64.b64decode(value or "").decode() for key, value in data.items()}
