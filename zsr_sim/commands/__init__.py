"""The work behind the commands, one file each; `zsr_sim/cli.py` and what it imports say what can be asked for."""
