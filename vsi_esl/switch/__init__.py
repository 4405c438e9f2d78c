"""The only way to talk to FreeSWITCH: codec, connection, escaping command builder, re-adoption."""
