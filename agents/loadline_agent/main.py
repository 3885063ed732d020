"""
The command `loadline-agent`: run a node's agent, run its guard, or release the node without a coordinator.

The guard must use little memory, so each command imports only what it needs, and this module almost
nothing.
"""

import sys
from collections.abc import Sequence

USAGE = """\
usage: loadline-agent run [OPTIONS]        measure this node's GPUs, report, set leased limits; see run --help
       loadline-agent guard --state DIR    step this node's GPUs down when its agent can't
       loadline-agent release --state DIR  restore this node's original GPU limits; see release --help
"""

WRONG_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 for success, 1 for a failure, 2 for an invalid command line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command, rest = (given[0], given[1:]) if given else ("", [])
    if command == "run":
        from loadline_agent import agent_process

        return agent_process.main(rest)
    if command == "guard":
        from loadline_agent.hardware import guard

        return guard.main(rest)
    if command == "release":
        from loadline_agent.hardware import restores

        return restores.main(rest)
    wants_help = command in ("-h", "--help")
    print(USAGE, end="", file=sys.stdout if wants_help else sys.stderr)
    return 0 if wants_help else WRONG_USAGE


if __name__ == "__main__":
    sys.exit(main())
