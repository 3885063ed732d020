"""Programs are found where a developer has them, else built once; a stand-in for `go` does the building."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from testbed.cluster import binaries, toolchains
from testbed.cluster.errors import BuildFailed

ROOT = Path(__file__).parents[4]

GO = """#!/bin/sh
case "$1" in
version) echo "go version go1.26.0 linux/amd64" ;;
list) printf 'true \\nfalse \\ntrue \\n' ;;
build)
  while [ "$1" != -o ]; do shift; done
  echo example.org/one >&2; echo example.org/two >&2
  basename "$2" >> "$BUILT"
  %s
  echo '#!/bin/sh' > "$2"; chmod +x "$2" ;;
esac
"""


@pytest.fixture
def quiet() -> Console:
    return Console(file=StringIO())


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """An empty cache, and a `go` on PATH that notes what it builds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(binaries.ASSETS, raising=False)
    monkeypatch.setenv("BUILT", str(tmp_path / "built"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    script(tmp_path / "path" / "go", GO % ":")
    return lambda: (tmp_path / "built").read_text().splitlines()


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def leftovers() -> list[Path]:
    return [path for path in toolchains.cache().rglob(".*") if path.name != ".lock"]


def test_all_programs_are_built_once(built: Callable[[], list[str]], quiet: Console) -> None:
    first = binaries.ensure(quiet)
    assert binaries.ensure(quiet) == first
    assert built() == [f".{name}-{os.getpid()}" for name in binaries.NAMES]
    assert leftovers() == []
    assert binaries.missing() == ()


def test_other_programs_are_built_only_where_asked_for(
    built: Callable[[], list[str]], quiet: Console
) -> None:
    assert binaries.need("helm", "kubelet", console=quiet) == tuple(map(binaries.cached, ("helm", "kubelet")))
    assert built() == [f".{name}-{os.getpid()}" for name in ("helm", "kubelet")]
    assert set(binaries.NODE_NAMES).isdisjoint(binaries.NAMES)


@pytest.mark.parametrize("name", sorted(binaries.SOURCES))
def test_every_program_comes_from_a_module_with_checksums(name: str) -> None:
    command = binaries.command(name)
    assert (command.module / "go.sum").stat().st_size > 0
    assert re.fullmatch(r"[a-z]+-\d+\.\d+\.\d+", binaries.cached(name).parent.name)
    oldest = re.search(r"^go 1\.(\d+)", (command.module / "go.mod").read_text(), re.MULTILINE)
    assert oldest is not None
    assert (1, int(oldest[1])) <= toolchains.LEAST


def test_two_builders_take_turns(built: Callable[[], list[str]], quiet: Console) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: binaries.ensure(quiet), range(2))
    assert one == other
    assert len(built()) == len(binaries.NAMES)


def test_a_build_that_fails_says_why_and_leaves_nothing(
    built: Callable[[], list[str]], quiet: Console, tmp_path: Path
) -> None:
    script(tmp_path / "path" / "go", GO % 'touch "$2"; echo "x.go:1: no such thing" >&2; exit 1')
    with pytest.raises(BuildFailed, match=r"etcd could not be built:\nx\.go:1: no such thing"):
        binaries.ensure(quiet)
    assert leftovers() == []
    assert binaries.missing() == binaries.NAMES


def test_kubebuilder_assets_come_first_for_what_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(binaries.ASSETS, str(tmp_path))
    script(tmp_path / "kubectl", "#!/bin/sh")
    (tmp_path / "etcd").write_text("not a program")
    assert binaries.find("kubectl") == tmp_path / "kubectl"
    assert binaries.find("etcd") == binaries.cached("etcd")
    assert binaries.find("kube-scheduler") == binaries.cached("kube-scheduler")


@pytest.mark.parametrize(("told", "taken"), [("Kubernetes v1.33.0", True), ("Kubernetes v1.32.9", False)])
def test_an_api_server_too_old_for_node_bound_tokens_is_refused(
    told: str,
    taken: bool,
    built: Callable[[], list[str]],
    quiet: Console,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assets = tmp_path / "assets"
    monkeypatch.setenv(binaries.ASSETS, str(assets))
    script(assets / "kube-apiserver", f"#!/bin/sh\necho {told}")
    if taken:
        assert binaries.ensure(quiet).kube_apiserver == assets / "kube-apiserver"
    else:
        with pytest.raises(BuildFailed, match=r"kube-apiserver 'Kubernetes v1\.32\.9': use 1\.33 or newer"):
            binaries.ensure(quiet)


def test_versions_come_from_the_pinned_modules() -> None:
    assert binaries.cached("kubectl").parent.name == f"kubernetes-{binaries.kubernetes_version()}"
    assert f"gitVersion=v{binaries.kubernetes_version()} " in binaries.command("kubectl").ldflags
    with pytest.raises(BuildFailed, match="names no version of example"):
        binaries.version("etcd", "example.org/none")


def test_another_kubernetes_is_chosen_by_its_minor_version(monkeypatch: pytest.MonkeyPatch) -> None:
    default = binaries.kubernetes_version()
    found = {}
    for minor in ("1.36", "1.37"):
        monkeypatch.setenv(binaries.CHOSEN, minor)
        found[minor] = binaries.kubernetes_version()
        assert binaries.cached("kubelet").parent.name == f"kubernetes-{found[minor]}"
        assert (binaries.command("kubelet").module / "go.sum").stat().st_size > 0
        assert found[minor].startswith(f"{minor}.")
    assert default in found.values()
    assert binaries.cached("helm").parent.name.startswith("helm-"), "all else stays"
    monkeypatch.setenv(binaries.CHOSEN, "1.12")
    with pytest.raises(BuildFailed, match=r"KUBERNETES is '1\.12': use one of 1\.36, 1\.37"):
        binaries.kubernetes_version()


@pytest.mark.parametrize(
    ("sentence", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.9 linux", (1, 9)), ("", (0,))],
)
def test_go_tells_its_version(sentence: str, version: tuple[int, ...]) -> None:
    assert toolchains.version_of(sentence) == version


def test_an_old_go_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pinned toolchain of the cache is used in its place; here it is there already."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    script(tmp_path / "go", "#!/bin/sh\necho go version go1.22.1 linux/amd64")
    pinned = toolchains.pinned()
    script(pinned, "#!/bin/sh")
    assert toolchains.go() == pinned


def test_build_is_a_command(built: Callable[[], list[str]]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "testbed.cluster", "build"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [str(binaries.cached(name)) for name in binaries.NAMES]
    assert "etcd: 0 of 2 packages, about " in done.stderr
    assert len(built()) == len(binaries.NAMES)
