"""Patchbay's controller: calls on Asterisk and FreeSWITCH, driven, masked, recorded and accounted for."""
