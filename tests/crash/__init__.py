"""OP3: every accepted call reaches exactly one end, whatever dies.

Calls run through the engine, the conductor, the scheduler and a real SQLite file against the PBX in memory, while the
controller is killed at random points, the link is cut, the PBX is restarted, the disk is full, and events come twice, late
or never.
"""
