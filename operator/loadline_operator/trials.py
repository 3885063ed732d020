"""
`python -m loadline_operator.trials`: the command of `helm test`'s pod.

Installed charts contain this command, and an image may be newer than its chart, so the
command keeps its name. The code is in `hooks.helm_tests`.
"""

import sys

from loadline_operator.hooks.helm_tests import main

if __name__ == "__main__":
    sys.exit(main())
