"""
`python -m loadline_operator.upgrades`: the command of the hook Job that checks an upgrade.

Installed charts contain this command, and an image may be newer than its chart, so the
command keeps its name. The code is in `hooks.check_upgrade`.
"""

import sys

from loadline_operator.hooks.check_upgrade import main

if __name__ == "__main__":
    sys.exit(main())
