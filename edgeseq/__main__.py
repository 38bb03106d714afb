"""Run the command line by `python -m edgeseq`."""

from edgeseq.cli import main

if __name__ == "__main__":
    main()
