"""The phones of the lab: SIPp speaks SIP, `ear.py` hears and plays sound, `book.py` notes what each phone saw and
heard.

Theory of operation.  One SIPp process is every phone: its scenario, generated from the table of phones, branches by the
number that was called.  SIPp writes each message it sends or receives into a pipe that we read, so the book knows them
as they happen. A phone's SDP names a UDP port whose last two digits are those of its number; behind these ports sits
our own ear, which plays the phone's tone and looks for known tones in what comes back, each call told apart by the
PBX's own RTP port.

A running call is told what to do (hang up, answer, reject) by a request with an invented method and that call's
Call-ID, sent to SIPp's port: SIPp matches it like any other request of the call.
"""
