"""Run the command line as ``python -m fraudstream``."""

from fraudstream.cli import main

if __name__ == "__main__":
    main()
