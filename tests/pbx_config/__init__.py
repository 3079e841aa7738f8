"""The rendered configuration of each PBX."""
