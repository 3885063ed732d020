"""
`python -m loadline_operator.definitions`: the command of the job that brings the CRDs up to date.

Charts that are installed name it, and an image may be newer than its chart, so the command
keeps its name. What it does is in `hooks.install_crds`.
"""

import sys

from loadline_operator.hooks.install_crds import main

if __name__ == "__main__":
    sys.exit(main())
