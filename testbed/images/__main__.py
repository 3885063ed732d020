"""
Images as a command: the archive and the image's name go to stdout, all else to stderr.

    python -m testbed.images build standin
    python -m testbed.images names
"""

from typing import Annotated

import typer
from rich.console import Console

from testbed.cluster import commands
from testbed.cluster.errors import BedError
from testbed.images import builds
from testbed.images.recipes import RECIPES, digest, reference

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Images of this checkout, without a registry."
)
stderr = Console(stderr=True, soft_wrap=True)


@app.command()
def build(names: Annotated[list[str], typer.Argument(help=f"Which of {', '.join(RECIPES)}.")]) -> None:
    """Build images, and print for each its archive and its name."""
    if unknown := [name for name in names if name not in RECIPES]:
        raise BedError(f"there is no image {unknown[0]!r}: name some of {', '.join(RECIPES)}")
    for name in names:
        image = builds.ensure(name, stderr)
        print(image.archive, image.name)


@app.command()
def names() -> None:
    """Print the name that each image has now, built or not."""
    for recipe in RECIPES.values():
        print(reference(recipe, digest(recipe)))


def main() -> None:
    """Run the command; what could not be built is a sentence, not a traceback."""
    commands.run(app, stderr)


if __name__ == "__main__":
    main()
