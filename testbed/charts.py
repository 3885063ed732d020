"""
The chart as the rest of the checkout uses it: rendered, and kept equal to its sources.

Tests and the live demo run operator and agents under the chart's own accounts, RBAC
and admission policies, so they take the objects from here instead of writing them
again; Helm's own engine renders them, from PyPI, with no helm at hand. What Helm would
run as a hook, and delete again, is apart. What the chart copies from elsewhere (CRDs from
the models, policy documents from the policies, the icon from its picture) and what it
tells of itself (the README's table of values) is generated here:

    python -m testbed.charts [--check]
"""

import argparse
import base64
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

from loadline_api import generate
from loadline_api.names import SYSTEM_NAMESPACE

Manifest = dict[str, Any]
"""One Kubernetes object as YAML gives it."""

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "loadline"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
"""Values files that the tests install the chart with, beside its defaults."""

POLICIES = ROOT / "policies" / "loadline_policies" / "defaults"

TABLE_BEGIN, TABLE_END = "<!-- values: begin -->", "<!-- values: end -->"

IN_PODS = ("Deployment", "DaemonSet", "Service")
"""What makes no sense where operator and agents are local processes."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, where there is one: fifty times as fast over a whole chart."""

FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount")

HOOK = "helm.sh/hook"
"""Annotation of what Helm runs by itself and doesn't count to the release."""

ICON = ROOT / "docs" / "pictures" / "loadline.svg"


def rendered(
    values: Mapping[str, Any] | None = None, *, namespace: str = SYSTEM_NAMESPACE, release: str = "loadline"
) -> list[Manifest]:
    """Every object of a release, CRDs first; HelmError when values or templates are wrong."""
    with helm_python.Chart.load(CHART) as chart:
        crds = [yaml.load(one["data"], LOADER) for one in chart.crds]
        objects = _objects(chart, values, namespace=namespace, release=release)
    return [*crds, *(one for one in objects if HOOK not in one["metadata"].get("annotations", {}))]


def hooks(
    event: str, values: Mapping[str, Any] | None = None, *, namespace: str = SYSTEM_NAMESPACE
) -> list[Manifest]:
    """What Helm runs at an event, for example `pre-delete`, in its order."""
    with helm_python.Chart.load(CHART) as chart:
        objects = _objects(chart, values, namespace=namespace, release="loadline")
    events = {id(one): one["metadata"].get("annotations", {}).get(HOOK, "").split(",") for one in objects}
    found = [one for one in objects if event in events[id(one)]]
    return sorted(found, key=lambda one: int(one["metadata"]["annotations"][f"{HOOK}-weight"]))


def read(file: Path) -> dict[str, Any]:
    return dict(yaml.load(file.read_text(), LOADER))


def one(kind: str, name: str, *, values: Mapping[str, Any] | None = None) -> Manifest:
    """The release's object of that kind and name."""
    (found,) = (o for o in rendered(values) if (o["kind"], o["metadata"]["name"]) == (kind, name))
    return found


def containers(manifest: Manifest) -> list[Manifest]:
    """The containers that an object runs; none if it runs nothing."""
    spec = manifest.get("spec", {})
    pod = spec.get("template", {}).get("spec", spec) if isinstance(spec, dict) else {}
    return list(pod.get("containers", ()))


def control_plane_objects(
    values: Mapping[str, Any] | None = None, *, namespace: str = SYSTEM_NAMESPACE
) -> list[Manifest]:
    """The chart without its pods, its namespace first, in an order that can be applied one by one."""
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    objects = [home, *(one for one in rendered(values, namespace=namespace) if one["kind"] not in IN_PODS)]
    return sorted(objects, key=lambda one: FIRST.index(one["kind"]) if one["kind"] in FIRST else len(FIRST))


def table(values_text: str) -> str:
    """The Markdown table of all values that carry a `# --` comment."""
    rows = [f"| `{key}` | `{default}` | {comment} |" for key, default, comment in described(values_text)]
    return "\n".join(["| Value | Default | What it does |", "|---|---|---|", *rows])


def described(values_text: str) -> Iterator[tuple[str, str, str]]:
    """Key path, default as JSON-like YAML, and comment of each value that has a `# --` comment."""
    values = yaml.safe_load(values_text)
    path: list[str] = []
    comment = ""
    for line in values_text.splitlines():
        if told := re.match(r"\s*# -- (.+)", line):
            comment = told[1]
        elif key := re.match(r"( *)(\w+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if comment:
                yield ".".join(path), _flat(_at(values, path)), comment
            comment = ""


def wanted() -> dict[Path, str]:
    """Every generated file of the chart with the text that it should have."""
    readme = CHART / "README.md"
    begin, end = (readme.read_text().split(mark) for mark in (TABLE_BEGIN, TABLE_END))
    values = (CHART / "values.yaml").read_text()
    files = {readme: f"{begin[0]}{TABLE_BEGIN}\n{table(values)}\n{TABLE_END}{end[1]}"}
    told = CHART / "Chart.yaml"
    files[told] = re.sub(r"(?m)^icon: .*$", f"icon: {icon()}", told.read_text())
    for source in sorted(POLICIES.glob("*.yaml")):
        files[CHART / "files" / "policies" / source.name] = source.read_text()
    return files


def stale() -> list[Path]:
    """Generated files that are missing or differ, CRDs included."""
    old = [path for path, text in wanted().items() if not path.is_file() or path.read_text() != text]
    return old + generate.stale(ROOT)


def icon() -> str:
    """The chart's picture as Chart.yaml holds it, so that it needs no server."""
    return f"data:image/svg+xml;base64,{base64.b64encode(ICON.read_bytes()).decode()}"


def main(arguments: list[str] | None = None) -> int:
    """Bring the chart up to date, or with `--check` only say what is stale; 1 when something was."""
    parser = argparse.ArgumentParser(
        prog="python -m testbed.charts", description="The chart's generated files"
    )
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file is stale")
    check = parser.parse_args(arguments).check
    old = stale()
    for path in old:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}", file=sys.stderr)
    if check:
        return int(bool(old))
    generate.write(ROOT)
    for path, text in wanted().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


def _objects(
    chart: helm_python.Chart, values: Mapping[str, Any] | None, *, namespace: str, release: str
) -> list[Manifest]:
    chart.validate_schema(chart.merge_values(dict(values or {})))
    texts = chart.render(dict(values or {}), name=release, namespace=namespace)
    manifests = (text for path, text in sorted(texts.items()) if path.endswith(".yaml"))
    return [one for text in manifests for one in yaml.load_all(text, LOADER) if one]


def _at(values: Any, path: list[str]) -> Any:
    for key in path:
        values = values[key]
    return values


def _flat(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


if __name__ == "__main__":
    sys.exit(main())
