"""``python -m zsr_sim``: the command ``zsr-sim`` where no script is on the path."""

from zsr_sim.cli import main

if __name__ == "__main__":
    main()
