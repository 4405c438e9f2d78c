"""The client's side of the service: HTTP, the hardened WebSocket, and VSI sessions."""
