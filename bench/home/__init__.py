"""The member's home query beside its peers: `python -m bench.home --help`."""
