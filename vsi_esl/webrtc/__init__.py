"""WebRTC legs: browsers, which the service brings to the switch as a client of mod_verto."""
