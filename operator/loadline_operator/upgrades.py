"""
`python -m loadline_operator.upgrades`: the command of the job that looks whether an upgrade breaks up a row.

Charts that are installed name it, and an image may be newer than its chart, so the command
keeps its name. What it does is in `hooks.check_upgrade`.
"""

import sys

from loadline_operator.hooks.check_upgrade import main

if __name__ == "__main__":
    sys.exit(main())
