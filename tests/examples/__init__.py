"""What features show of their commands and events, for `tests.record_examples`.

One module per feature, with `scenario(switch, client)`: run when the calls of the core's scenario are
over, on calls of its own. Each first good answer to a command becomes its example.
"""
