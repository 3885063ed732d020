"""
Write `docs/reference/`, or say which of its pages the code has left behind.

    python -m reference_pages [--check] [--root CHECKOUT]
"""

import argparse
import sys
from pathlib import Path

from reference_pages import indexes
from reference_pages.pages import COMMAND

ROOT = Path(__file__).parents[1]
FOLDER = Path("docs", "reference")


def stale(root: Path = ROOT) -> list[Path]:
    """Pages of the checkout at `root` that are missing, differ from the code, or belong to nothing."""
    wanted = indexes.files()
    there = {path.name for path in (root / FOLDER).glob("*.md")}
    names = [name for name, text in wanted.items() if name not in there or _text(root, name) != text]
    return [root / FOLDER / name for name in (*names, *sorted(there - wanted.keys()))]


def write(root: Path = ROOT) -> list[Path]:
    """Bring the pages up to date; those that changed."""
    wanted, changed = indexes.files(), stale(root)
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for path in changed:
        if path.name in wanted:
            path.write_text(wanted[path.name], "utf-8")
        else:
            path.unlink()
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or with `--check` only compare; 1 when one was stale."""
    parser = argparse.ArgumentParser(
        prog="python -m reference_pages", description="The pages of docs/reference, from the code"
    )
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a page is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    options = parser.parse_args(arguments)
    changed = stale(options.root) if options.check else write(options.root)
    for path in changed:
        print(f"{'stale' if options.check else 'written'}: {path}", file=sys.stderr)
    if options.check and changed:
        print(f"hint: run `{COMMAND}`", file=sys.stderr)
    return int(options.check and bool(changed))


def _text(root: Path, name: str) -> str:
    return (root / FOLDER / name).read_text("utf-8")


if __name__ == "__main__":
    sys.exit(main())
