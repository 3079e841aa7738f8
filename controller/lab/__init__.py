"""A disposable PBX with phones, on loopback: the rehearsal room of admins and the ground the tests stand on."""
