"""The tests; folders mirror `controller`."""
