"""The command line, a module per command; `cli.py` at the top level finds them."""
