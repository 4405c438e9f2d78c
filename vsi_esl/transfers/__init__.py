"""Transfers: REFERs that we send, and those that peers send (RFC 3515, RFC 5589)."""
