"""The PBX in memory: that it does what a real one does, and nothing else."""
