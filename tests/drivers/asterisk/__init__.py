"""The Asterisk driver: its pure parts from tapes, its wire against misbehaving peers, its faults on a real Asterisk."""
