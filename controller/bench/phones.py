"""Load phones: SIPp answering at once, with or without RTP in native code, any number of calls at a time."""

import subprocess
from pathlib import Path

from controller.lab import process

_SDP = """Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=phone 1 1 IN IP4 [local_ip]
      s=-
      c=IN IP4 [media_ip]
      t=0 0
      m=audio [{port}] RTP/AVP 0
      a=rtpmap:0 PCMU/8000
"""
_REPLY = """  <send{attributes}><![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]{tag}
      [last_Call-ID:]
      [last_CSeq:]
      Contact: <sip:[local_ip]:[local_port]>
      {body}
    ]]></send>
"""


def scenario(sound: Path | None) -> str:
    """Answer, play ``sound`` (raw u-law) for ever if there is one, and wait for the BYE."""
    sdp = _SDP.format(port="rtpstream_audio_port" if sound else "media_port")
    play = f'  <nop><action><exec rtp_stream="{sound},-1,0"/></action></nop>\n' if sound else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n<scenario name="load">\n'
        '  <recv request="INVITE"/>\n'
        + _REPLY.format(attributes=' retrans="500"', tag=";tag=[pid]phone[call_number]", body=sdp)
        + '  <recv request="ACK"/>\n'
        + play
        + '  <recv request="BYE"/>\n'
        + _REPLY.format(attributes="", tag="", body="Content-Length: 0\n")
        + "</scenario>\n"
    )


def start(folder: Path, name: str, port: int, rtp_first: int, sound: Path | None) -> subprocess.Popen[bytes]:
    """Start one load phone on 127.0.0.1:``port``."""
    file = folder / f"{name}.xml"
    file.write_text(scenario(sound))
    command = ["sipp", "-sf", str(file), "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(port), "-mp", str(rtp_first)]
    command += ["-nostdin", "-skip_rlimit"]
    return process.start(command, folder / f"{name}.log", folder)


def tone(path: Path, hz: int) -> Path:
    """A file of raw u-law, one second of a tone, for ``scenario``."""
    make = ["sox", "-n", "-r", "8000", "-c", "1", "-e", "u-law", "-b", "8", "-t", "ul", str(path)]
    subprocess.run([*make, "synth", "1", "sine", str(hz), "gain", "-6"], check=True, timeout=30)
    return path
