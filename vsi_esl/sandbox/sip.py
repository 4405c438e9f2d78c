"""SIP status codes and hangup causes, as mod_sofia turns the one into the other (measured)."""

from __future__ import annotations

import re

PHRASES = {
    200: "OK",
    202: "Accepted",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    415: "Unsupported Media Type",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    484: "Address Incomplete",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}

_CAUSES_OF_FAILURES = {
    "CALL_REJECTED": (401, 402, 403, 407, 603),
    "EXCHANGE_ROUTING_ERROR": (482, 483),
    "INCOMPATIBLE_DESTINATION": (488, 606),
    "INTERWORKING": (413, 420),
    "INVALID_NUMBER_FORMAT": (484,),
    "NETWORK_OUT_OF_ORDER": (502,),
    "NORMAL_TEMPORARY_FAILURE": (400, 481, 500, 503),
    "NO_ROUTE_DESTINATION": (485, 604),
    "NO_USER_RESPONSE": (480,),
    "NUMBER_CHANGED": (410,),
    "ORIGINATOR_CANCEL": (487,),
    "RECOVERY_ON_TIMER_EXPIRE": (408, 504),
    "SERVICE_NOT_IMPLEMENTED": (406, 415, 501),
    "SERVICE_UNAVAILABLE": (405,),
    "UNALLOCATED_NUMBER": (404,),
    "USER_BUSY": (486, 600),
}
FAILURE_CAUSES = {code: cause for cause, codes in _CAUSES_OF_FAILURES.items() for code in codes}
"""Final status of a peer -> hangup cause; other codes are NORMAL_UNSPECIFIED."""

REFUSALS = {
    "USER_BUSY": 486,
    "CALL_REJECTED": 603,
    "DECLINE": 603,
    "UNALLOCATED_NUMBER": 404,
    "NO_ROUTE_DESTINATION": 404,
    "INCOMING_CALL_BARRED": 403,
    "OUTGOING_CALL_BARRED": 403,
    "BEARERCAPABILITY_NOTAUTH": 403,
    "ORIGINATOR_CANCEL": 487,
    "NORMAL_TEMPORARY_FAILURE": 503,
    "INCOMPATIBLE_DESTINATION": 488,
    "NO_USER_RESPONSE": 408,
    "RECOVERY_ON_TIMER_EXPIRE": 504,
}
"""Hangup cause -> final response to an unanswered inbound call; every other cause is 480."""

Q850 = {
    int(number): name
    for number, _, name in (
        item.partition("=")
        for item in (
            "1=UNALLOCATED_NUMBER 2=NO_ROUTE_TRANSIT_NET 3=NO_ROUTE_DESTINATION 6=CHANNEL_UNACCEPTABLE "
            "16=NORMAL_CLEARING 17=USER_BUSY 18=NO_USER_RESPONSE 19=NO_ANSWER 20=SUBSCRIBER_ABSENT "
            "21=CALL_REJECTED 22=NUMBER_CHANGED 25=EXCHANGE_ROUTING_ERROR 27=DESTINATION_OUT_OF_ORDER "
            "28=INVALID_NUMBER_FORMAT 29=FACILITY_REJECTED 31=NORMAL_UNSPECIFIED "
            "34=NORMAL_CIRCUIT_CONGESTION 38=NETWORK_OUT_OF_ORDER 41=NORMAL_TEMPORARY_FAILURE "
            "42=SWITCH_CONGESTION 44=REQUESTED_CHAN_UNAVAIL 50=FACILITY_NOT_SUBSCRIBED "
            "52=OUTGOING_CALL_BARRED 54=INCOMING_CALL_BARRED 57=BEARERCAPABILITY_NOTAUTH "
            "58=BEARERCAPABILITY_NOTAVAIL 63=SERVICE_UNAVAILABLE 69=FACILITY_NOT_IMPLEMENTED "
            "79=SERVICE_NOT_IMPLEMENTED 88=INCOMPATIBLE_DESTINATION 96=MANDATORY_IE_MISSING "
            "102=RECOVERY_ON_TIMER_EXPIRE 111=PROTOCOL_ERROR 127=INTERWORKING 487=ORIGINATOR_CANCEL"
        ).split()
    )
}
OTHER_CAUSES = frozenset(
    "DECLINE ALLOTTED_TIMEOUT MEDIA_TIMEOUT BLIND_TRANSFER ATTENDED_TRANSFER PICKED_OFF LOSE_RACE "
    "MANAGER_REQUEST SYSTEM_SHUTDOWN USER_NOT_REGISTERED PROGRESS_TIMEOUT".split()
)

WATCHED_BYTES = 512
PARTS = re.compile(r"<|>|[A-Za-z][A-Za-z0-9+.-]*:|[@:]|[^<>@:;?]+|;[^?>]*|\?[^>]*")
"""Of an address, what is written at a time."""


def as_watched(address: str, before: str) -> str:
    """A header with an address as sip_watch_headers shows it: written up to the part that has no room, over
    what was shown `before`."""
    written = ""
    for part in PARTS.findall(address):
        if len(written) + len(part) > WATCHED_BYTES:
            break
        written += part
    return (written + before[len(written) :])[: WATCHED_BYTES - 1]


def phrase(code: int) -> str:
    """The reason phrase of a status code."""
    return PHRASES.get(code, "Failure")


def failure_cause(code: int) -> str:
    """The hangup cause of a call that the peer ended with this final status."""
    return FAILURE_CAUSES.get(code, "NORMAL_UNSPECIFIED")


def hangup_cause(text: str) -> str:
    """A cause as given to `uuid_kill`: a name or a Q.850 number. Unknown names are NORMAL_CLEARING."""
    if text.isascii() and text.isdigit():
        return Q850.get(int(text[:4]), "UNKNOWN")
    known = text in OTHER_CAUSES or text in Q850.values()
    return text if known else "NORMAL_CLEARING"
