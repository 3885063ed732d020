"""`make images push`: one image of the wheel, by the builder that is there; here one in name only."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

BUILDER = """\
#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
[ "$1" = build ] || exit 0
for context in "$@"; do :; done
cd "$context" && find . -type f | sort >>"$CALLS"
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH's directory in which somebody put builders."""
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


def install(tools: Path, *names: str) -> None:
    for name in names:
        (tools / name).write_text(BUILDER)
        (tools / name).chmod(0o755)


def run(tools: Path, *steps: str, path: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script's steps; only these tools, or also what `path` has, can be found."""
    told = {name: value for name, value in os.environ.items() if name not in ("IMAGE", "BUILDER")}
    told |= {"PATH": f"{tools}:{path or os.environ['PATH']}", "CALLS": str(tools / "calls"), **environment}
    command = ["/bin/bash", str(ROOT / "hack" / "images.sh"), *steps]
    return subprocess.run(command, env=told, capture_output=True, text=True, timeout=120, check=False)


def calls(tools: Path) -> list[str]:
    return (tools / "calls").read_text().splitlines()


def test_a_build_sees_the_wheel_the_pins_and_the_containerfile_alone(tools: Path) -> None:
    install(tools, "docker")
    done = run(tools, "build", IMAGE="registry.example.com/team/loadline:1.2", BUILD_OPTIONS="--pull --quiet")
    assert done.returncode == 0, done.stderr
    call, *files = calls(tools)
    assert call.startswith("docker build --pull --quiet --file /")
    assert " --tag registry.example.com/team/loadline:1.2 /" in call
    wheel = next(file for file in files if file.endswith(".whl"))
    assert files == ["./Containerfile", wheel, "./requirements/agent.txt", "./requirements/operator.txt"]
    assert not Path(call.split()[-1]).exists()


@pytest.mark.parametrize(
    ("image", "pushed"),
    [
        ("registry.example.com/team/loadline:1.2", "registry.example.com/team/loadline:1.2"),
        ("localhost:5000/loadline", f"localhost:5000/loadline:{VERSION}"),
    ],
)
def test_a_push_names_the_image_and_how_to_install_it(tools: Path, image: str, pushed: str) -> None:
    install(tools, "docker")
    done = run(tools, "push", IMAGE=image)
    assert calls(tools) == [f"docker push {pushed}"]
    name, _, tag = pushed.rpartition(":")
    assert f"--set image.repository={name},image.tag={tag}" in done.stdout


def test_an_image_without_a_registry_is_not_pushed(tools: Path) -> None:
    install(tools, "docker")
    done = run(tools, "push")
    assert done.returncode == 2
    assert f"IMAGE is loadline:{VERSION}, which names no registry" in done.stderr
    assert f"hint: IMAGE=registry.example.com/team/loadline:{VERSION} make images push" in done.stderr
    assert not (tools / "calls").exists()


def test_a_builder_is_taken_by_name_before_any_other(tools: Path) -> None:
    install(tools, "docker", "buildah")
    assert run(tools, "push", IMAGE="r.example/loadline:1", BUILDER="buildah").returncode == 0
    assert calls(tools) == ["buildah push r.example/loadline:1"]


def test_without_a_builder_the_script_says_what_to_install(tools: Path) -> None:
    for name in ("dirname", "sed"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    done = run(tools, "build", path="/nowhere")
    assert done.returncode == 2
    assert "no docker, podman or buildah on PATH" in done.stderr
