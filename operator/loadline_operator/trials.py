"""
`python -m loadline_operator.trials`: the command of the pod of `helm test`.

Charts that are installed name it, and an image may be newer than its chart, so the command
keeps its name. What it does is in `hooks.helm_tests`.
"""

import sys

from loadline_operator.hooks.helm_tests import main

if __name__ == "__main__":
    sys.exit(main())
