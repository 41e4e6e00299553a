"""The same program as the installed ``streamsr``."""

import sys

try:
    from streamsr.cli.main import main

    if __name__ == "__main__":
        main()
except KeyboardInterrupt:  # before there is anything to stop
    sys.exit(130)
