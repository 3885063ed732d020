"""
`python -m loadline_operator.releases`: the command of the job that waits until every node is released.

Charts that are installed name it, and an image may be newer than its chart, so the command
keeps its name. What it does is in `hooks.release_nodes`.
"""

import sys

from loadline_operator.hooks.release_nodes import main

if __name__ == "__main__":
    sys.exit(main())
