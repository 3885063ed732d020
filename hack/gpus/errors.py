"""Why nothing could be measured: a sentence and exit code 2, never a figure in its place."""


class Unmeasured(Exception):
    """There is no GPU, nothing to load it with, or what was kept doesn't belong together.

    The text says what to mend.
    """
