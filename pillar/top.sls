# Roles only, as in the states' top file.  saltbranch hands this pillar to the minions of the branch's
# own saltenv, by minion id.
#
# Inside a saltenv: a grain is what a minion says of itself, so nothing that is targeted by a grain
# below is a secret.  What only some of the minions may read is targeted by minion id.
base:
  '*':
    - common
    - app

  'roles:web':
    - match: grain
    - role.web

  'roles:db':
    - match: grain
    - role.db

  'master*':
    - saltbranch

  'G@roles:db or master*':
    - match: compound
    - backup
