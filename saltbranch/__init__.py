"""saltbranch: three branches of one Salt repository, served as three Salt environments."""

__version__ = "0.1.0"
