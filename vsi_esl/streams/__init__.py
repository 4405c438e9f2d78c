"""Media over WebSockets: legs whose peers speak it, and participants of rooms that are no legs."""
