"""The API described by itself: OpenAPI, AsyncAPI and pages, made of the registry and the typed events."""
