"""The work behind the commands, one file each; `zsr_sim/cli.py` says what can be asked for."""
