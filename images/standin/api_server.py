"""vLLM's module of this name starts its server; here it starts the stand-in."""

from testbed.engines.standin.__main__ import main

if __name__ == "__main__":
    main()
