"""``python -m offbeat``: the command line where its script is not on the path."""

from offbeat.cli import main

main()
