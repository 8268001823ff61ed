"""The schema of Terraform's AWS provider, read from the npm package that CDK for Terraform generates from it.

The provider itself is a binary of 700 MB that cannot be had everywhere. The package states each argument, block and
attribute of it as TypeScript: `index.d.ts` says which arguments are required, `index.js` their names and types in HCL.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

_FIELD = re.compile(
    r"\n\s+(?P<name>\w+): \{\s*value: (?P<value>.*?),\s*isBlock: (?P<block>true|false),\s*"
    r'type: "(?P<collection>\w+)",\s*storageClassType: "(?P<kind>\w+)",?\s*\}',
    re.DOTALL,
)
_INTERFACE = re.compile(r"export interface (\w+)[^{]*\{(.*?)\n\}", re.DOTALL)
_MEMBER = re.compile(r"readonly (\w+)(\?)?:")
_STRUCT = re.compile(r"function (\w+)ToHclTerraform\(struct\) \{(.*?)\n\}", re.DOTALL)
_TOP = re.compile(r"synthesizeHclAttributes\(\) \{(.*?)\n    \}", re.DOTALL)
_RESOURCE = re.compile(r"class (\w+) extends cdktf\.Terraform(?:Resource|DataSource|Provider).*", re.DOTALL)
_READ = re.compile(r"get(String|Number|Boolean|List|StringMap)Attribute\('(\w+)'\)")
_SINGLE = re.compile(r'new (\w+)OutputReference\(this, "')
_SCALARS = {"string": "string", "number": "number", "boolean": "bool"}
_READ_TYPES: dict[str, Any] = {**{name.title(): kind for name, kind in _SCALARS.items()}, "List": ["list", "string"]}


@dataclass(frozen=True, slots=True)
class _Source:
    """One resource's files, taken apart: interfaces by name, the structs of its blocks, and which blocks occur once."""

    required: dict[str, dict[str, bool]]
    structs: dict[str, str]
    single: frozenset[str]
    script: str


def read_schema(archive: Path, resources: Iterable[str], data: Iterable[str]) -> Schema:
    """Return the schema of the provider, of these resources and of these data sources.

    Raises:
        KeyError: the package knows no such resource.
    """
    folders = {
        "provider": "provider",
        **{name: _folder(name) for name in resources},
        **{f"data.{name}": f"data-aws-{_folder(name)}" for name in data},
    }
    files = _read(archive, set(folders.values()))
    blocks = {name: _block_of(*files[folder]) for name, folder in folders.items()}
    return {
        "provider": blocks.pop("provider"),
        "data": {name.removeprefix("data."): block for name, block in blocks.items() if name.startswith("data.")},
        "resources": {name: block for name, block in blocks.items() if not name.startswith("data.")},
    }


def _folder(resource: str) -> str:
    return resource.removeprefix("aws_").replace("_", "-")


def _read(archive: Path, folders: set[str]) -> dict[str, tuple[str, str]]:
    """Return the declarations and the script of each folder. Large resources have a second pair beside the first."""
    found: dict[str, tuple[str, str]] = {}
    with tarfile.open(archive) as package:
        for member in package:
            parts = member.name.split("/")
            if len(parts) < 4 or parts[2] not in folders or not (file := package.extractfile(member)):
                continue
            declarations, script = found.get(parts[2], ("", ""))
            text = file.read().decode()
            if member.name.endswith(".d.ts"):
                declarations += text
            elif member.name.endswith(".js"):
                script += text
            found[parts[2]] = (declarations, script)
    return found


def _block_of(declarations: str, script: str) -> Schema:
    source = _Source(
        required={
            name: {_plain(member): not optional for member, optional in _MEMBER.findall(body)}
            for name, body in _INTERFACE.findall(declarations)
        },
        structs=dict(_STRUCT.findall(script)),
        single=frozenset(_SINGLE.findall(script)),
        script=script,
    )
    resource = next(match for match in _RESOURCE.finditer(script) if f"{match[1]}Config" in source.required)
    top = _TOP.search(resource[0])
    assert top is not None
    block = _arguments(source, top[1], f"{resource[1]}Config")
    known = {_plain(name) for kind in block.values() for name in kind}
    for kind, name in _READ.findall(resource[0]):
        if _plain(name) not in known:
            block["attributes"][name] = {"type": _READ_TYPES.get(kind, ["map", "string"]), "computed": True}
    return block


def _arguments(source: _Source, body: str, interface: str) -> Schema:
    block: Schema = {"attributes": {}, "block_types": {}}
    required = source.required.get(interface, {})
    for field in _FIELD.finditer(body):
        name, must = field["name"], required.get(_plain(field["name"]), False)
        struct = _struct_of(field["value"]) if field["block"] == "true" else ""
        if struct in source.structs:
            capital = struct[0].upper() + struct[1:]
            block["block_types"][name] = {
                "nesting": _nesting(name, field["collection"]),
                "min": int(must),
                "max": int(capital in source.single and name != "timeouts"),
                "block": _arguments(source, source.structs[struct], capital),
            }
        else:
            block["attributes"][name] = {
                "type": _type_of(field["kind"], field["collection"]),
                "required": must,
                "optional": not must,
                # A write-only argument is sent and kept nowhere; any other may be filled in by AWS.
                "computed": not must and not name.endswith("_wo"),
                "write_only": name.endswith("_wo"),
            }
    return block


def _nesting(name: str, collection: str) -> str:
    if name == "timeouts":
        return "single"
    return "set" if collection == "set" else "list"


def _struct_of(value: str) -> str:
    found = re.search(r"(\w+)ToHclTerraform", value.replace("cdktf.", ""))
    return found[1] if found else ""


def _type_of(kind: str, collection: str) -> Any:  # noqa: ANN401 - Terraform's notation: a name, or a list of two
    if kind in _SCALARS:
        return _SCALARS[kind]
    for scalar, name in _SCALARS.items():
        if kind == f"{scalar}Map":
            return ["map", name]
        if kind in {f"{scalar}List", f"{scalar}Set"}:
            return ["set" if collection == "set" else "list", name]
    return "dynamic"


def _plain(name: str) -> str:
    """Return a name as it is the same in HCL's and in TypeScript's spelling."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
