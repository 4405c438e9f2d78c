"""Live audio of legs and rooms, as features use it: sessions that run in the media workers (`vsi_esl.media`),
and what is done on the switch for them.
"""
