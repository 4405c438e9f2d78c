"""Which switches this service has, when several share them: taken, shown on the switch, and let go.

Redis says whose turn it is (`cluster.leases`), the switch shows it (`switch.lines.fence`), and the switch is
right: a service that lost its turn without noticing finds another's higher fence there, and lets go; one that
cannot reach Redis goes on while the switch shows its own.
"""
