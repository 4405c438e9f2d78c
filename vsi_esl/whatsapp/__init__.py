"""WhatsApp calls: SIP over TLS with Meta's gateways, opus over ICE and DTLS-SRTP."""
