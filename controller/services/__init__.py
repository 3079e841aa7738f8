"""What runs: each module is one task of the controller, and none imports a driver or the store."""
