"""`patchbay bench`: what the controller sustains, as a ratio to the PBX's own limit in the same run.

The same Asterisk, the same phones and the same native Dial are driven first by a raw AMI script that keeps nothing
(``raw.py``: the limit of this PBX on this machine), then by a controller that makes every step durable (``ours.py``).  All
share the machine's cores, so every cycle that we use is one that the PBX lacks, and the ratio says what durability costs.
"""
