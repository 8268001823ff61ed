"""One player per guild: state machine and queue (rules), voice connection and frames (voice), and the actor."""
