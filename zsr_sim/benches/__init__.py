"""How fast each part is on this machine: what `zsr-sim bench` measures, one file for each of its options."""
