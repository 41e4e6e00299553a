"""The door: the same program as the installed ``streamsr``."""

from streamsr.cli import main

if __name__ == "__main__":
    main()
