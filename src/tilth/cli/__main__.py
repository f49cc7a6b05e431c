"""`python -m tilth.cli`: the command line where the `tilth` script is not on the path."""

from tilth.cli.app import main

if __name__ == "__main__":
    main()
