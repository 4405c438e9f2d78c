"""`vsi-esl companion`: beside a switch on another machine than the service, it does there what must be done
where the switch's files and audio are. It knows nothing of calls, and has no connection to the switch."""
