"""A stand-in for the Docker Engine's API (1.50) on a Unix socket: what the real Compose binary asks for `up`.

It has every image, makes networks, volumes and containers, starts them, and says that each is healthy. No process runs.
What the engine would refuse in what it is sent, it refuses: an unknown image, network or volume, a port or a name that
is taken, a mount of a file that is not there, a health check whose times the engine does not take.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import secrets
import socketserver
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
_NANOSECONDS_PER_MS = 1_000_000
_VERSION = {"Version": "28.3.0", "ApiVersion": "1.50", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}
_HEALTH_TIMES = ("Interval", "Timeout", "StartPeriod", "StartInterval")


class Refused(Exception):
    """What the engine answers instead: a status and its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Engine:
    """What there is: `containers` by name, as they were sent, and whether each was started."""

    def __init__(self, socket: Path, images: set[str] | None = None) -> None:
        self.host = f"unix://{socket}"
        self.containers: dict[str, Json] = {}
        self.networks: dict[str, Json] = {}
        self.volumes: dict[str, Json] = {}
        self.calls: list[str] = []
        self._images = images
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, query: dict[str, str], body: Json) -> tuple[int, Any]:
        """Return the status and the JSON of one request. Raises Refused."""
        with self._lock:
            self.calls.append(f"{method} {path}")
            for pattern, handler in _ROUTES:
                if found := re.fullmatch(pattern, f"{method} {path}"):
                    return handler(self, query, body, *found.groups())
        raise Refused(404, f"page not found: {method} {path}")

    def ping(self, _query: Json, _body: Json) -> tuple[int, Any]:
        return 200, "OK"

    def version(self, _query: Json, _body: Json) -> tuple[int, Any]:
        return 200, _VERSION

    def info(self, _query: Json, _body: Json) -> tuple[int, Any]:
        return 200, {"ID": "stand-in", "OSType": "linux", "Architecture": "x86_64", "ServerVersion": "28.3.0"}

    def image(self, _query: Json, _body: Json, name: str) -> tuple[int, Any]:
        if self._images is not None and name not in self._images:
            raise Refused(404, f"No such image: {name}")
        return 200, {"Id": f"sha256:{name}", "RepoTags": [name], "Os": "linux", "Architecture": "amd64", "Config": {}}

    def list_networks(self, query: Json, _body: Json) -> tuple[int, Any]:
        return 200, [network for network in self.networks.values() if _wanted(network, query)]

    def inspect_network(self, _query: Json, _body: Json, name: str) -> tuple[int, Any]:
        return 200, _by_name_or_id(self.networks, name, "network")

    def create_network(self, _query: Json, body: Json) -> tuple[int, Any]:
        self.networks[body["Name"]] = {**body, "Id": secrets.token_hex(32), "Scope": "local", "Containers": {}}
        return 201, {"Id": self.networks[body["Name"]]["Id"], "Warning": ""}

    def list_volumes(self, query: Json, _body: Json) -> tuple[int, Any]:
        return 200, {"Volumes": [volume for volume in self.volumes.values() if _wanted(volume, query)]}

    def inspect_volume(self, _query: Json, _body: Json, name: str) -> tuple[int, Any]:
        return 200, _by_name_or_id(self.volumes, name, "volume")

    def create_volume(self, _query: Json, body: Json) -> tuple[int, Any]:
        self.volumes[body["Name"]] = {**body, "Mountpoint": f"/volumes/{body['Name']}", "Scope": "local"}
        return 201, self.volumes[body["Name"]]

    def list_containers(self, query: Json, _body: Json) -> tuple[int, Any]:
        everything = [_listed(container) for container in self.containers.values()]
        return 200, [container for container in everything if _wanted(container, query)]

    def create_container(self, query: Json, body: Json) -> tuple[int, Any]:
        name = query["name"]
        if name in self.containers:
            raise Refused(409, f'Conflict. The container name "/{name}" is already in use')
        self.image({}, {}, body["Image"])
        _check_health(_part(body, "Healthcheck"))
        self._check_mounts(body["HostConfig"])
        for network in _part(_part(body, "NetworkingConfig"), "EndpointsConfig"):
            _by_name_or_id(self.networks, network, "network")
        self.containers[name] = {**body, "Id": secrets.token_hex(32), "Name": f"/{name}", "started": False}
        return 201, {"Id": self.containers[name]["Id"], "Warnings": []}

    def start(self, _query: Json, _body: Json, name: str) -> tuple[int, Any]:
        container = _by_name_or_id(self.containers, name, "container")
        taken = {port for other in self.containers.values() if other["started"] for port in _published(other)}
        if clash := taken & _published(container):
            raise Refused(500, f"driver failed programming external connectivity: Bind for {clash.pop()} failed")
        container["started"] = True
        return 204, None

    def inspect_container(self, _query: Json, _body: Json, name: str) -> tuple[int, Any]:
        container = _by_name_or_id(self.containers, name, "container")
        networks = _part(_part(container, "NetworkingConfig"), "EndpointsConfig")
        return 200, {
            "Id": container["Id"],
            "Name": container["Name"],
            "Created": "2026-01-01T00:00:00Z",
            "Image": f"sha256:{container['Image']}",
            "State": _state(container),
            "Config": container,
            "HostConfig": container["HostConfig"],
            "Mounts": [],
            "NetworkSettings": {"Networks": networks, "Ports": {}},
        }

    def _check_mounts(self, host: Json) -> None:
        mounts: list[Json] = host.get("Mounts") or []
        binds: list[str] = host.get("Binds") or []
        for mount in mounts:
            if mount["Type"] == "bind" and not Path(mount["Source"]).exists():
                raise Refused(400, f"invalid mount config for type 'bind': no source path {mount['Source']}")
            if mount["Type"] == "volume":
                _by_name_or_id(self.volumes, mount["Source"], "volume")
        for bind in binds:
            source = bind.split(":")[0]
            known = Path(source).exists() if source.startswith("/") else source in self.volumes
            if not known:
                raise Refused(400, f"no source {source}")


_ROUTES = (
    (r"(?:GET|HEAD) /_ping", Engine.ping),
    (r"GET /version", Engine.version),
    (r"GET /info", Engine.info),
    (r"GET /images/(.+)/json", Engine.image),
    (r"GET /networks", Engine.list_networks),
    (r"GET /networks/([^/]+)", Engine.inspect_network),
    (r"POST /networks/create", Engine.create_network),
    (r"GET /volumes", Engine.list_volumes),
    (r"GET /volumes/([^/]+)", Engine.inspect_volume),
    (r"POST /volumes/create", Engine.create_volume),
    (r"GET /containers/json", Engine.list_containers),
    (r"POST /containers/create", Engine.create_container),
    (r"POST /containers/([^/]+)/start", Engine.start),
    (r"GET /containers/([^/]+)/json", Engine.inspect_container),
)


def _part(thing: Json, key: str) -> Json:
    """Return the object at `key`; Go sends null for an empty one."""
    return thing.get(key) or {}


def _by_name_or_id(things: dict[str, Json], name: str, kind: str) -> Json:
    for key, thing in things.items():
        if name in (key, thing.get("Id")):
            return thing
    raise Refused(404, f"No such {kind}: {name}")


def _wanted(thing: Json, query: Json) -> bool:
    """Whether it is what `filters` asks for: labels and names."""
    filters: Json = json.loads(query.get("filters", "{}"))
    labels = _part(thing, "Labels")
    for label in filters.get("label", []):
        key, separator, value = label.partition("=")
        if key not in labels or (separator and labels[key] != value):
            return False
    names = filters.get("name", [])
    return not names or any(re.search(name, str(thing.get("Name", ""))) for name in names)


def _check_health(check: Json) -> None:
    for key in _HEALTH_TIMES:
        if 0 < check.get(key, 0) < _NANOSECONDS_PER_MS:
            raise Refused(400, f"{key} in Healthcheck cannot be less than 1ms")


def _published(container: Json) -> set[str]:
    bindings = _part(container["HostConfig"], "PortBindings")
    return {
        f"{binding.get('HostIp', '')}:{binding['HostPort']}"
        for port in bindings.values()
        for binding in port
        if binding.get("HostPort")
    }


def _state(container: Json) -> Json:
    if not container["started"]:
        return {"Status": "created", "Running": False, "ExitCode": 0}
    disabled = _part(container, "Healthcheck").get("Test") == ["NONE"]
    health: Json | None = None if disabled else {"Status": "healthy", "FailingStreak": 0, "Log": []}
    return {"Status": "running", "Running": True, "ExitCode": 0, "Pid": 1, "Health": health}


def _listed(container: Json) -> Json:
    return {
        "Id": container["Id"],
        "Names": [container["Name"]],
        "Image": container["Image"],
        "ImageID": f"sha256:{container['Image']}",
        "Labels": _part(container, "Labels"),
        "State": _state(container)["Status"],
        "Status": "Up" if container["started"] else "Created",
        "Mounts": [],
        "NetworkSettings": {"Networks": {}},
    }


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 64  # Compose opens a connection for each thing that it makes
    engine: Engine

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent about Compose ending with connections open; the rest is an error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # pyright: ignore[reportArgumentType] - handed on as it came


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's
        """Stay silent."""

    def _answer(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        parts = urlsplit(self.path)
        path = re.sub(r"^/v1\.\d+", "", parts.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, told = server.engine.answer(self.command, path, query, json.loads(body) if body else {})
        except Refused as refused:
            status, told = refused.status, {"message": str(refused)}
        data = b"" if told is None else told.encode() if isinstance(told, str) else json.dumps(told).encode()
        with contextlib.suppress(BrokenPipeError):  # Compose has ended, after a refusal
            self.send_response(status)
            self.send_header("Api-Version", "1.50")
            self.send_header("Ostype", "linux")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)


@contextlib.contextmanager
def running_engine(directory: Path, images: set[str] | None = None) -> Generator[Engine]:
    """Serve an engine at a socket in `directory`, which has `images` (default: any)."""
    socket = directory / "engine.sock"
    engine = Engine(socket, images)
    with _Server(str(socket), _Handler) as server:
        server.engine = engine
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield engine
        finally:
            server.shutdown()
            thread.join()
