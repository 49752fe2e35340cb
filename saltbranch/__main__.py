"""``python -m saltbranch``."""

from saltbranch.entry import main

if __name__ == "__main__":
    main()
