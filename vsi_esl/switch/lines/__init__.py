"""The text of commands to the switch. No string reaches it but through here."""
