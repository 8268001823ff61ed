"""k8s/ as kubectl renders it, and whether a cluster would take it: `make check` runs this as a program.

Kubernetes' own kinds are held against its published schemas, strictly; those of operators against `crds/`, which are
written from the operators' documentation and know what is used here and little more: any other field is refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, cast

import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs] - has none
import yaml
from jsonschema import Draft202012Validator

from tests.waiting import patience

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
KUBERNETES = "1.34"
"""The oldest version that the manifests promise to work with is what they are held against."""
Manifest = dict[str, Any]


def kustomizations() -> list[Path]:
    """Return the directories that deploy.sh applies; base/monitoring as soon as it is there."""
    found = [K8S / "namespaces", *sorted(path.parent for path in K8S.glob("overlays/*/kustomization.yaml"))]
    return found + [path.parent for path in K8S.glob("base/monitoring/kustomization.yaml")]


@cache
def render(directory: Path) -> list[Manifest]:
    """Return the objects of a kustomization.

    Raises:
        AssertionError: kubectl cannot render it, and says why.
    """
    kubectl = Path(sys.executable).with_name("kubectl")
    ran = subprocess.run(
        [str(kubectl), "kustomize", str(directory)], check=False, capture_output=True, text=True, timeout=patience(60)
    )
    assert ran.returncode == 0, ran.stderr
    loaded: list[Manifest] = list(yaml.load_all(ran.stdout, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return loaded


@cache
def custom_schemas() -> dict[tuple[str, str], Manifest]:
    """Return the schema of each operator's kind, by apiVersion and kind."""
    schemas: dict[tuple[str, str], Manifest] = {}
    for file in sorted((Path(__file__).parent / "crds").glob("*.json")):
        described: Manifest = json.loads(file.read_text())
        for kind, spec in described["kinds"].items():
            schemas[described["apiVersion"], kind] = spec
    return schemas


def problems(manifest: Manifest) -> list[str]:
    """Return what is wrong with one object."""
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    schema = custom_schemas().get((manifest["apiVersion"], manifest["kind"]))
    if schema is not None:
        extra = set(manifest) - {"apiVersion", "kind", "metadata", "spec"}
        return _breaches(schema, name, manifest.get("spec")) + [f"{name}: {key} is unknown" for key in sorted(extra)]
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{name}: {error}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [f"{name}: {error}; an operator's kind belongs into tests/deploy/crds"]
    return []


def _breaches(schema: Manifest, name: str, spec: Any) -> list[str]:  # noqa: ANN401 - whatever YAML held
    validator = cast("Any", Draft202012Validator(schema))  # its overloads are partly untyped
    return [f"{name}: {error.json_path}: {error.message}" for error in validator.iter_errors(spec)]


def main() -> int:
    """Print what is wrong, and return the exit code."""
    wrong: list[str] = []
    for directory in kustomizations():
        wrong += [
            f"{directory.relative_to(ROOT)}: {line}" for manifest in render(directory) for line in problems(manifest)
        ]
    sys.stderr.write("".join(f"{line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
