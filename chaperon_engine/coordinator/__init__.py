"""The run as a whole: a state machine that decides, and sockets around it that do."""
