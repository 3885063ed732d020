"""
`python -m loadline_operator.releases`: the command of the hook Job that releases all nodes.

Installed charts contain this command, and an image may be newer than its chart, so the
command keeps its name. The code is in `hooks.release_nodes`.
"""

import sys

from loadline_operator.hooks.release_nodes import main

if __name__ == "__main__":
    sys.exit(main())
