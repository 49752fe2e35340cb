# Roles only.  Nothing here names a saltenv: the same file stands on every branch, and saltbranch
# lets it speak to the minions of the branch's own saltenv alone.
base:
  '*':
    - common

  'roles:web':
    - match: grain
    - role.web

  'roles:db':
    - match: grain
    - role.db

  'roles:salt-master':
    - match: grain
    - role.salt-master
    - saltbranch.applied  # custom code: previews of these minions take longer, see docs/reference/runners.md

  # Whatever cannot be made again from this repository.
  'G@roles:db or G@roles:salt-master':
    - match: compound
    - backup
