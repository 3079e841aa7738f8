"""A PBX in memory: for crash fuzzing and for the rehearsal of menus, never the proof that a feature works.

It does what a real PBX does and nothing else: what is native goes on without a controller, an idle leg knocks until it is
taken or gives up, a leg id lives once, an end writes its line, and what was said while nobody listened is not said again.

| module   | holds |
|----------|-------|
| phones   | what the phones at the other end do |
| timers   | time: the event loop's, or an agenda that is stepped by hand |
| channel  | one leg inside the PBX |
| exchange | the PBX: channels, bridges, timers, lines of ended legs; it outlives every controller |
| commands | verb to exchange |
| noise    | what goes wrong between the exchange and us: seeded |
| link     | ``ports.Pbx``: one controller's connection to an exchange |
"""
