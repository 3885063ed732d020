"""
How an agent replaces a file in its state directory: as a whole or not at all, for the owner's eyes only.
"""

import os
from pathlib import Path


def replace(path: Path, text: str) -> None:
    """Put a text in the file's place; OSError when the directory can't be written."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    os.replace(fresh, path)
