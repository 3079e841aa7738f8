"""What every PBX must do, written against ``ports.Pbx`` and the phones at the far end alone: the same tests for each.

`pytest tests/contract --pbx asterisk`.  A fact that one driver must prove by its own means belongs into its own folder.
"""
