"""``python -m learnopt``: the same as the ``learnopt`` command, for where scripts are not on the path."""

from learnopt.cli import main

if __name__ == "__main__":
    main()
