"""What passes between a service and the companion of a switch on another machine, and both ends of it.

One TLS connection, on which each side shows the other its certificate. On it, JSON objects behind their
length, as between the service and its media workers; no audio and no file. A library of remote calls was not
taken: gRPC brings threads and an event loop of its own beside gevent's, zerorpc and msgpack-rpc are not kept
any more, RPyC and Pyro run what the other end names. HTTP has no way back, for what workers report, but by a
second protocol.
"""
