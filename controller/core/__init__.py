"""The engine: calls, verbs, events, facts, flows and the one function that decides.

Nothing in this package does I/O, reads a clock or draws a random number, and it uses the standard library only.  Times are
integers: milliseconds since the Unix epoch, UTC, as the event that is being decided carries them.

| module     | holds |
|------------|-------|
| ids        | the shape of call, leg, verb and recording ids |
| call       | what is known of a call: legs, steps, recordings |
| verbs      | what a PBX is asked to do |
| events     | what a PBX, a client or a clock says happened |
| facts      | what the world is told |
| flow       | the YAML graph that a call walks, checked |
| causes     | SIP status, Q.850 and timers to a disposition |
| decide     | ``decide(flow, call, event) -> Decision`` |
| legs, nodes, acts | the parts of ``decide``: what an event does to a leg, what a node asks for, what a client may ask for |
| cdr        | the record of a closed call |
"""
