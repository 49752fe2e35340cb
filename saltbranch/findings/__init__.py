"""Rules about settings that break saltenvs: pure functions from what was seen to what is wrong."""
