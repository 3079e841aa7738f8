"""FreeSWITCH's words for causes, and what they are elsewhere.

Dispositions are made of SIP status and Q.850 cause in ``core.causes``, once for all PBXes.  Each PBX makes a Q.850 cause of
a SIP status by a table of its own; so that a leg's end reads the same whichever carried it, ours is said in the place of
FreeSWITCH's.
"""

CAUSE_OF_SIP: dict[int, str] = {
    400: "NORMAL_TEMPORARY_FAILURE",
    **dict.fromkeys((401, 402, 403, 407, 603), "CALL_REJECTED"),
    404: "UNALLOCATED_NUMBER",
    405: "SERVICE_UNAVAILABLE",
    **dict.fromkeys((406, 415, 501), "SERVICE_NOT_IMPLEMENTED"),
    **dict.fromkeys((408, 504), "RECOVERY_ON_TIMER_EXPIRE"),
    410: "NUMBER_CHANGED",
    **dict.fromkeys((413, 414, 416, 420, 421, 423, 505, 513), "INTERWORKING"),
    480: "NO_USER_RESPONSE",
    **dict.fromkeys((481, 500, 503), "NORMAL_TEMPORARY_FAILURE"),
    **dict.fromkeys((482, 483), "EXCHANGE_ROUTING_ERROR"),
    484: "INVALID_NUMBER_FORMAT",
    **dict.fromkeys((485, 604), "NO_ROUTE_DESTINATION"),
    **dict.fromkeys((486, 600), "USER_BUSY"),
    487: "ORIGINATOR_CANCEL",
    **dict.fromkeys((488, 606), "INCOMPATIBLE_DESTINATION"),
    502: "NETWORK_OUT_OF_ORDER",
}
"""What FreeSWITCH makes of a SIP status that brings no cause of its own (sofia_glue.c,
``sofia_glue_sip_cause_to_freeswitch``)."""

Q850_OF_SIP: dict[int, int] = {
    **dict.fromkeys((401, 402, 403, 407, 603), 21),
    **dict.fromkeys((404, 485, 604), 1),
    **dict.fromkeys((405, 406, 413, 414, 415, 416, 421, 423, 481, 482, 505, 513), 127),
    408: 18,
    410: 22,
    420: 3,
    **dict.fromkeys((480, 483), 19),
    484: 28,
    **dict.fromkeys((486, 600), 17),
    **dict.fromkeys((488, 606), 58),
    500: 38,
    501: 29,
    502: 27,
    503: 34,
    504: 102,
}
"""The Q.850 cause of a SIP status, as the other PBX says it (near RFC 3398, 8.2.6.1)."""

TIMERS = frozenset({"ALLOTTED_TIMEOUT", "NO_ANSWER", "PROGRESS_TIMEOUT"})
"""Of a leg that was not answered: FreeSWITCH's own ring timers (leg_timeout, originate_timeout, leg_progress_timeout)."""

REFUSED_AS: dict[int, int] = {21: 54}
"""The cause with which a call that came in is refused so that its caller is sent the same SIP status as from the other PBX: 403
for 21, which FreeSWITCH makes 603 of (mod_sofia.c, ``hangup_cause_to_sip``)."""

FULL = frozenset({"DESTINATION_OUT_OF_ORDER", "NORMAL_CIRCUIT_CONGESTION", "SWITCH_CONGESTION"})
"""Of an originate that FreeSWITCH refuses at once: max-sessions, sessions-per-second, or paused."""
