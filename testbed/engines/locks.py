"""
Which packages an engine is made of, down to the hash: `pyproject.toml` beside this file says it short.

The checkout's own lists are resolved by `hack/lock.sh`; these are apart, because an engine
pins hundreds of packages that no part of Loadline may be held to.
"""

from pathlib import Path

from testbed.cluster.errors import BuildFailed
from testbed.engines.venvs import LIST, ROOT, uv

DECLARED = Path(__file__).parent
ROUTER = LIST.with_name("router.txt")
BY = "Written by `python -m testbed.engines lock`."

OPTIONS = (
    "--quiet",
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-annotate",
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-find-links",
)
TAIL_CHARACTERS = 2_000


def write() -> tuple[Path, ...]:
    """Resolve the engine's list, and the router's as a part of it; pins that still fit stay."""
    engine = DECLARED / "pyproject.toml"
    _resolve(LIST, "A real engine for tests: vLLM on a CPU, NIXL, the router.", str(engine), project=DECLARED)
    (router,) = (line for line in LIST.read_text().splitlines() if line.startswith("vllm-router=="))
    named = ROUTER.with_suffix(".in")
    named.write_text(router.split(";")[0].rstrip(" \\") + "\n")
    try:
        _resolve(ROUTER, "vLLM's router, as in engine.txt.", f"--constraint={LIST}", str(named), project=ROOT)
    finally:
        named.unlink()
    return LIST, ROUTER


def _resolve(target: Path, purpose: str, *arguments: str, project: Path) -> None:
    draft = target.with_suffix(".draft")
    draft.write_bytes(target.read_bytes() if target.exists() else b"")
    try:
        told = uv("pip", "compile", *OPTIONS, f"--project={project}", *arguments, f"--output-file={draft}")
        if told.returncode:
            raise BuildFailed(f"{target.name} doesn't resolve:\n{told.stderr[-TAIL_CHARACTERS:]}")
        pinned = "".join(line for line in draft.read_text().splitlines(True) if not line.startswith("# "))
        target.write_text(f"# {purpose} {BY}\n{pinned}")
    finally:
        draft.unlink(missing_ok=True)
