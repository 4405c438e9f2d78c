"""Variables of the reference server whose subject is FreeSWITCH's here. They are not settings."""

PROFILE = "of the SIP profile"

SET_IN_FREESWITCH = {
    "SIP_BIND_IP": f"sip-ip and rtp-ip {PROFILE}",
    "SIP_BIND_IPV6": "vsi_sip_ipv6 in vars_vsi.xml, for a second SIP profile",
    "SIP_LISTEN_IP": f"sip-ip {PROFILE}",
    "SIP_LISTEN_IPV6": "vsi_sip_ipv6 in vars_vsi.xml, for a second SIP profile",
    "SIP_EXTERNAL_IP": f"ext-sip-ip and ext-rtp-ip {PROFILE}",
    "SIP_PORT": f"sip-port {PROFILE}",
    "SIP_TCP_ENABLED": f"bind-params {PROFILE} (UDP and TCP unless it names one)",
    "SIP_TLS_PORT": "vsi_tls and vsi_tls_port in vars_vsi.xml",
    "SIP_TLS_CERT": "vsi_tls_dir in vars_vsi.xml (its agent.pem)",
    "SIP_TLS_KEY": "vsi_tls_dir in vars_vsi.xml (its agent.pem)",
    "SIP_TLS_CA_FILE": "vsi_tls_dir in vars_vsi.xml (its cafile.pem)",
    "SIP_TLS_INSECURE_SKIP_VERIFY": "vsi_tls_verify in vars_vsi.xml",
    "SIP_HOST": f"user-agent-string {PROFILE}",
    "SIP_DEBUG": f"sip-trace {PROFILE}",
    "SIP_USE_SOURCE_SOCKET": f"the NAT settings {PROFILE} (aggressive-nat-detection, apply-nat-acl)",
    "SIP_JITTER_BUFFER_MS": f"auto-jitterbuffer-msec {PROFILE}",
    "SIP_JITTER_BUFFER_MAX_MS": "the channel variable jitterbuffer_msec (length:maximum)",
    "RTP_PORT_MIN": "rtp-start-port in switch.conf",
    "RTP_PORT_MAX": "rtp-end-port in switch.conf",
    "ICE_SERVERS": "vsi_webrtc_ip in vars_vsi.xml, and ext-rtp-ip of the SIP profile (they take stun:host)",
    "WEBRTC_EXTERNAL_IPS": "vsi_webrtc_ip in vars_vsi.xml",
    "COMFORT_NOISE_ENABLED": "comfort-noise of the conference profiles",
}
"""Name in the reference -> what to set in FreeSWITCH instead."""
