"""Several services that share their switches, on one Redis. Imported only when the settings name a server."""
