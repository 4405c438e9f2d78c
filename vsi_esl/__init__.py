"""vsi_esl: the VSI call-control protocol on top of FreeSWITCH's event socket."""

__version__ = "0.1.0"
