"""The commands of edgeseq; cli.py loads each only when it is called."""
