"""``python -m streamsr``: the same program as the installed ``streamsr``."""

from streamsr.cli.main import main

if __name__ == "__main__":
    main()
