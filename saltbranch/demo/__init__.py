"""`saltbranch demo`: the main job on a throw-away salt-master."""
