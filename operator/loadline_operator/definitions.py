"""
`python -m loadline_operator.definitions`: the command of the hook Job that updates the CRDs.

Installed charts contain this command, and an image may be newer than its chart, so the
command keeps its name. The code is in `hooks.install_crds`.
"""

import sys

from loadline_operator.hooks.install_crds import main

if __name__ == "__main__":
    sys.exit(main())
